"""The OpenAI door: OpenAI's videos API, for its client libraries and those that speak like them.

    POST /v1/videos               a form or JSON -> {"id", "object": "video", "status", ...}
    GET  /v1/videos/{id}          the same
    GET  /v1/videos/{id}/content  the file

`request` translates what clients send, `words` what they get, and `sizes` both.
"""

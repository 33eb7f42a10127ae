"""Indents JSON for people: `?pretty`, or a browser that asks for HTML and gets JSON.

Other requests only pay for the look at their query and their `Accept`.
"""

from __future__ import annotations

from typing import Final

import orjson
from starlette.types import Message, Scope, Send

from gateway.web.http.answers import wants_html

_ASKED: Final = b"pretty"
_JSON: Final = (b"application/json", b"application/problem+json")
#: A longer body stays as it is: indenting one takes time from all others.
_MOST_BYTES: Final = 2_000_000
_INDENTED: Final = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


def asked(scope: Scope) -> bool:
    """Whether the answer is for a person. Takes `pretty` out of the query, because no operation knows it."""
    query: bytes = scope["query_string"]
    if _ASKED in query:
        parts = query.split(b"&")
        rest = [part for part in parts if part.partition(b"=")[0] != _ASKED]
        if len(rest) < len(parts):
            scope["query_string"] = b"&".join(rest)
            return True
    return wants_html(scope)


class PrettyJson:
    """The `send` of one request. Holds the head back until it has the body, if that is JSON and whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json(message):
            self._head = message
            return
        if self._head is not None:
            head, self._head = self._head, None
            body: bytes = message.get("body", b"")
            if body and len(body) <= _MOST_BYTES and not message.get("more_body", False):
                body = orjson.dumps(orjson.loads(body), option=_INDENTED)
                kept = [(name, value) for name, value in head["headers"] if name != b"content-length"]
                if all(name != b"vary" for name, _ in kept):
                    kept.append((b"vary", b"accept"))
                head = {**head, "headers": [*kept, (b"content-length", b"%d" % len(body))]}
                message = {**message, "body": body}
            await self._send(head)
        await self._send(message)


def _is_json(head: Message) -> bool:
    return any(name == b"content-type" and value.startswith(_JSON) for name, value in head["headers"])

"""How an event's bytes are stored: as they are, or packed into a quarter of that.

Most of a body are names of fields, so it is deflated with a dictionary of them: 8 µs, and 4 µs to read it.
Versions from before this module cannot read a packed body. So it is packed only while no process of another
version uses this Redis (`FunctionLoader.alone`), and read in both forms.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Final

#: Fields of an event's record: it has one of them. scripts/lib/records.lua knows JSON by its first brace.
PLAIN: Final = "body"
PACKED: Final = "packed"
_LEVEL: Final = 1
_WINDOW_BITS: Final = -12  # without a header, and with little memory to prepare for each body
_MEMORY: Final = 5
#: Never changes, because stored bodies need it: a better one would get a field of its own.
_DICTIONARY: Final = (
    b'","payload_omitted":true,"code":"","message":"","error":{"code":"'
    b'{"type":"job.queued","type":"job.submitted","type":"job.canceled","type":"job.failed",'
    b'{"type":"job.completed","timestamp":"2026-12-01T04:13:28.394Z","data":{"id":"job_01M8","object":"job",'
    b'"status":"completed","phase":"completed","progress":1.0,"model":"viduq2_pro_reference",'
    b'"created_at":"2026-12-01T04:13:26.086Z","started_at":"2026-12-01T04:13:28.136Z",'
    b'"submitted_at":"2026-12-01T04:13:28.264Z","finished_at":"2026-12-01T04:13:28.394Z",'
    b'"expires_at_estimate":"2026-12-01T05:13:28.394Z",'
    b'"output":[{"content":[{"type":"video","jobId":"9","url":"https://.mp4"}]}],'
    b'"usage":{"cost":"0.2750","discount":0},'
    b'"metadata":{"seed":2,"duration":5,"width":1280,"height":720,"started_at":17,"finished_at":17},'
    b'"error":null,"payload":null,"callback_url":null,"warnings":[],"spend":"certain","resubmissions":0,'
    b'"on_unknown":null,"unknown_since":null,"start_deadline":"2026-12-02T04:13:26.086Z",'
    b'"total_deadline":"2026-12-02T06:13:26.086Z","cancel":null,"late_result":null,"priority":"normal",'
    b'"queue":null,"links":{"self":"/v1/jobs/job_01M8","cancel":"/v1/jobs/job_01M8/cancel"}}}'
)


def dump(body: bytes, *, packed: bool) -> bytes:
    """What is stored for the body: packed if that is allowed and smaller."""
    if not packed:
        return body
    deflate = zlib.compressobj(
        _LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY
    )
    # text, because clients that decode replies read it with other fields
    small = base64.b64encode(deflate.compress(body) + deflate.flush())
    return small if len(small) < len(body) else body


def load(event: Mapping[str, str | None]) -> bytes | None:
    """The body from the fields of the event's record, whichever has it; None without any."""
    if (small := event.get(PACKED)) is not None:
        return zlib.decompressobj(_WINDOW_BITS, _DICTIONARY).decompress(base64.b64decode(small))
    plain = event.get(PLAIN)
    return None if plain is None else plain.encode()

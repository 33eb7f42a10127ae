"""Reads the start of a reply that the HTTP parser refused.

A 204 with a body, a head of 20 KB or a stray space breaks a rule of HTTP, but the subscriber has answered:
the status line decides. What follows is only for the log, so it is read as far as it goes.
"""

from __future__ import annotations

import re
from typing import Final

from multidict import CIMultiDict

from gateway.delivery.attempts import Reply
from gateway.delivery.headers import loggable_headers

_STATUS: Final = re.compile(rb"\s*HTTP/[0-9](?:\.[0-9])?[ \t]+([0-9]{3})(?=[ \t\r\n])", re.IGNORECASE)
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_HEADER: Final = re.compile(r"([^\s:]+)[ \t]*:[ \t]*(.*?)[ \t]*")
_SWITCHED: Final = 101


def read(received: bytes) -> Reply | None:
    """The reply that begins with these bytes, as far as it can be read; None without a final status line."""
    while status := _STATUS.match(received):
        code = int(status[1])
        end = _HEAD_END.search(received, status.end())
        if 100 <= code < 200 and code != _SWITCHED:  # an interim reply, which the final one follows
            if end is None:
                return None
            received = received[end.end() :]
            continue
        head = received[status.end() : end.start() if end else None].decode("latin-1")
        lines = map(_HEADER.fullmatch, head.splitlines()[1:])
        headers = CIMultiDict((line[1], line[2]) for line in lines if line)
        body = bytearray(received[end.end() :] if end else b"")
        return Reply(code, headers, loggable_headers(headers.items()), body)
    return None

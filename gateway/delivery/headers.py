"""Headers of webhooks: those that an endpoint may add, and those of a reply that are logged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

MAX_HEADERS: Final = 20
MAX_HEADERS_BYTES: Final = 4_096
#: Shown instead of a value. It is not accepted as one.
MASK: Final = "********"
KEPT_HEADERS: Final = 20
KEPT_BYTES: Final = 1_024
_KEPT_VALUE_CHARACTERS: Final = 256

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[!-~](?:[\t -~]*[!-~])?")
#: Headers that we set, that belong to one connection (RFC 9110, 7.6.1), or that change how a body is read.
RESERVED: Final = frozenset(
    {
        *("content-type", "content-length", "content-encoding", "host", "user-agent", "accept-encoding"),
        *("traceparent", "tracestate", "expect", "connection", "keep-alive", "proxy-authenticate"),
        *("proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
_RESERVED_START: Final = "webhook-"
# Control characters, invisible characters that reorder or hide text, and surrogates, which JSON cannot hold.
# Tabs and line ends are allowed.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)


def fault_of_header(name: str, value: str) -> str | None:
    """What is wrong with a header that an endpoint adds, worded to follow its name; None: nothing."""
    if not _TOKEN.fullmatch(name):
        return "is not a header name; use letters, digits and hyphens"
    if _is_reserved(name):
        return "is set by the gateway and cannot be changed"
    if not _VALUE.fullmatch(value):
        return "must have a value of printable ASCII characters, without spaces around it"
    return None


def fault_of_headers(headers: Mapping[str, str]) -> str | None:
    """What is wrong with all headers together, worded to follow the field's name; None: nothing."""
    if len(headers) > MAX_HEADERS:
        return f"has {len(headers)} headers; send at most {MAX_HEADERS}"
    if sum(map(_size, headers.items())) > MAX_HEADERS_BYTES:
        return f"has more than {MAX_HEADERS_BYTES} bytes in total"
    if len({name.lower() for name in headers}) < len(headers):
        return "has the same header twice; upper and lower case make no difference"
    return None


def outgoing(added: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """The headers of an attempt: those that the endpoint adds, and ours, which take precedence."""
    kept = {name: value for name, value in added.items() if fault_of_header(name, value) is None}
    return kept | dict(ours)


def printable(text: str) -> str:
    """The text with a question mark for each character that is not safe to print and store."""
    return _UNSAFE.sub("?", text)


def loggable_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The first headers of a reply for the log: names in lower case, values safe to print; no cookies."""
    kept: dict[str, str] = {}
    left = KEPT_BYTES
    for name, value in headers:
        name, value = printable(name).lower(), printable(value)[:_KEPT_VALUE_CHARACTERS]
        left -= _size((name, value))
        if left < 0 or len(kept) == KEPT_HEADERS:
            break
        if name != "set-cookie":
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


def _is_reserved(name: str) -> bool:
    name = name.lower()
    return name in RESERVED or name.startswith(_RESERVED_START)


def _size(header: tuple[str, str]) -> int:
    """Bytes on the wire: `name: value` and the end of the line."""
    return sum(len(part.encode(errors="replace")) for part in header) + 4

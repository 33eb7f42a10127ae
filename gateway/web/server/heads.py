"""Rules for the head of a request that the parser does not have: its target, Host, framing and upgrades."""

from __future__ import annotations

from typing import Final

import httptools

from gateway.errors import Problem

Headers = list[tuple[bytes, bytes]]
_HTTP: Final = (b"http", b"https")


class HeadRefused(Exception):
    """The request is refused with this status before it reaches the application. Raised in a callback, it
    also stops the parser."""

    def __init__(self, status: int, detail: str, *problems: Problem) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = problems


#: Limits of a head: its target and headers.
MAX_HEAD_BYTES: Final = 32_768
MAX_HEADERS: Final = 100


def head_too_large() -> HeadRefused:
    return HeadRefused(
        431,
        f"the target and the headers may have {MAX_HEAD_BYTES} bytes together, and there may be "
        f"{MAX_HEADERS} headers; send less",
    )


def origin_form(target: bytes, headers: Headers) -> bytes:
    """The target as a path with a query. A target in absolute form names the host, and replaces the Host
    header (RFC 9112, 3.2.2)."""
    if target.startswith(b"/") or target == b"*":
        return target
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        parsed = None
    if parsed is None or (parsed.schema or b"").lower() not in _HTTP or parsed.userinfo is not None:
        raise HeadRefused(400, "the request's target is neither a path nor an http URL")
    host = b"[%s]" % parsed.host if b":" in parsed.host else parsed.host
    headers[:] = [header for header in headers if header[0] != b"host"]
    headers.append((b"host", host if parsed.port is None else b"%s:%d" % (host, parsed.port)))
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")


def check_host(headers: Headers, version: str) -> None:
    """HTTP/1.1 needs exactly one Host."""
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1:
        raise _wrong(400, "Host", "given_twice", "is given twice; send it once")
    if hosts == 0 and version == "1.1":
        raise _wrong(400, "Host", "required", "is missing; send the name of this service")


def check_framing(headers: Headers, version: str) -> None:
    """A body may be chunked, and nothing else. The parser itself refuses what does not end in `chunked`."""
    given = [value for name, value in headers if name == b"transfer-encoding"]
    if not given:
        return
    if version != "1.1":
        raise _wrong(400, "Transfer-Encoding", "not_supported", "needs HTTP/1.1; send a Content-Length")
    codings = [coding.strip().lower() for coding in b",".join(given).split(b",")]
    if codings[-1] == b"chunked" and len(codings) > 1:
        message = "only chunked is supported; send the body without another coding"
        raise _wrong(501, "Transfer-Encoding", "not_supported", message)


def without_upgrade(method: str, target: bytes, version: str, headers: Headers) -> tuple[bytes, Headers]:
    """The same head without its Upgrade headers, and those."""
    lines = [b"%s %s HTTP/%s" % (method.encode(), target, version.encode())]
    lines += (b"%s: %s" % header for header in headers if header[0] != b"upgrade")
    return b"\r\n".join((*lines, b"", b"")), [header for header in headers if header[0] == b"upgrade"]


def _wrong(status: int, param: str, code: str, message: str) -> HeadRefused:
    return HeadRefused(status, f"{param}: {message}", Problem(param, code, message))

"""Checks URLs that a client sends: their syntax, and whether their host can be public.

It resolves and fetches nothing. It only refuses early what can never work; the code that dials a URL decides
about the real address. Syntax: RFC 3986, in ASCII. Names that are private by definition: RFC 6761
(localhost), 6762 (.local), 8375 (home.arpa), and `.internal` (reserved by ICANN in 2024).

Codes: `too_long`, `url_scheme`, `url_characters`, `url_userinfo`, `url_host`, `url_port`, `url_fragment`,
`url_not_public`. Messages may contain the host, but never the path or the query: a query often contains a
signature.
"""

from __future__ import annotations

import ipaddress
import re

# Matches almost every valid URL at once. All others are checked part by part.
_PLAIN = re.compile(
    r"https?://((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,3}[a-z]{2,24})(?:/[!$-;=?-\[\]-~]*)?",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(r'[^!-~]|[\\<>"]')
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_PARTS = re.compile(
    r"(?P<userinfo>[^/?#]*@)?(?P<host>\[[^\]/?#@]*\]|[^:/?#@\[\]]*)(?P<port>:[^/?#@]*)?(?P<rest>[/?#].*)?"
)
_PORT = re.compile(r":[0-9]{1,5}")
_NAME = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*", re.IGNORECASE
)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_MAX_HOST_CHARACTERS = 253
_NEVER_PUBLIC = (".localhost", ".local", ".localdomain", ".internal", ".home.arpa")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

#: A callback token anywhere in a text. Its owner can send callbacks, so it is never logged.
CALLBACK_TOKEN = re.compile(
    r"(?P<kid>[a-z0-9]{1,8})\.(?P<tenant>[a-z0-9][a-z0-9_-]{0,31})"
    r"\.(?P<job>job_[0-9A-HJKMNP-TV-Z]{26})\.(?P<epoch>0|[1-9][0-9]{0,9})"
    r"(?:~(?P<account>[a-z0-9][a-z0-9_-]{0,31}))?"
    r"\.(?P<mac>[A-Za-z0-9_-]{22})"
)
#: The token in the address of an upload, anywhere in a text. Who has it can fetch the file, so it is never
#: logged.
MEDIA_TOKEN = re.compile(
    r"(?P<kid>[a-z0-9]{1,8})\.(?P<upload>upl_[0-9A-HJKMNP-TV-Z]{26})\.(?P<until>[1-9][0-9]{0,10})"
    r"\.(?P<mac>[A-Za-z0-9_-]{32})"
)
#: The limit for URLs that we call: a job's own callback_url, and an endpoint's URL.
MAX_CALLBACK_URL_CHARACTERS = 2048

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def url_fault(
    url: str, *, max_characters: int, public: bool = False, fragment: bool = True
) -> tuple[str, str] | None:
    """Code and message of the first fault of an http(s) URL, or None.

    `public`: refuse hosts that are private by their name or address. `fragment`: allow a `#...` part.
    """
    if len(url) > max_characters:
        return "too_long", f"has {len(url)} characters; send a URL of at most {max_characters}"
    plain = _PLAIN.fullmatch(url)
    if plain is not None and not (public and plain[1].lower().endswith(_NEVER_PUBLIC)):
        return None
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "url_scheme", "must start with http:// or https://"
    if _FORBIDDEN.search(url):
        hint = 'percent-encode spaces, \\, <, >, " and everything beyond ASCII (host names: punycode)'
        return "url_characters", f"has characters that a URL cannot have; {hint}"
    parts = _PARTS.fullmatch(url, scheme.end())
    if parts is None:
        return "url_host", "has no valid host; send https://host/path"
    userinfo, host, port, rest = parts.groups()
    if userinfo is not None:
        return "url_userinfo", "has a user name or password before @; send a URL without credentials"
    if port is not None and not (_PORT.fullmatch(port) and 0 < int(port[1:]) < 65536):
        return "url_port", "has a port that is not a number from 1 to 65535; correct it or leave it out"
    if not fragment and rest is not None and "#" in rest:
        return "url_fragment", "has a #fragment, which is never sent; leave it out"
    return _host_fault(host, public)


def split_url(url: str) -> tuple[str, str, str]:
    """Scheme and host with port in lower case, and the request target: exactly the bytes that the URL has
    after its host. ValueError for a URL in which `url_fault` finds a fault of its form.

    A signature may cover the target, so nothing in it is decoded, encoded or normalized.
    """
    scheme = _SCHEME.match(url)
    parts = _PARTS.fullmatch(url, scheme.end()) if scheme else None
    if scheme is None or parts is None:
        raise ValueError("not an http(s) URL")
    _, host, port, rest = parts.groups()
    target = (rest or "").partition("#")[0]
    if not target.startswith("/"):  # HTTP requires a path
        target = "/" + target
    return scheme[0][:-3].lower(), host.lower() + (port or ""), target


def _host_fault(host: str, public: bool) -> tuple[str, str] | None:
    name = host[:-1] if host.endswith(".") else host
    try:
        address = _address(name)
    except ValueError:
        return (
            "url_host",
            "has an invalid IP address as host; write IPv4 as four decimal numbers, and IPv6 without a zone",
        )
    if address is not None:
        if public and not _is_public(address):
            return "url_not_public", f"points to {host}, which the upstream cannot reach; send a public URL"
        return None
    if len(name) > _MAX_HOST_CHARACTERS or not _NAME.fullmatch(name):
        return "url_host", "has no valid host name; send https://host/path"
    if public and _is_local_name(name):
        return "url_not_public", f"points to {host}, which the upstream cannot reach; send a public URL"
    return None


def _address(name: str) -> _Address | None:
    """The IP address of a host, None for a name.

    ValueError for unusual spellings of IPv4 (`127.1`, `0x7f000001`), which only some resolvers accept, and
    for an IPv6 zone, which has a meaning only on one machine.
    """
    if name.startswith("["):
        if "%" in name:
            raise ValueError("an address with a zone")
        return ipaddress.IPv6Address(name[1:-1])
    if _NUMERIC_LABEL.fullmatch(name, name.rfind(".") + 1):
        return ipaddress.IPv4Address(name)
    return None


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


def _is_local_name(name: str) -> bool:
    """Whether a name has no dot, or belongs to a domain that is never in the public DNS."""
    return "." not in name or name.lower().endswith(_NEVER_PUBLIC)


def origin_of(url: str) -> str:
    """Scheme, host and port of a valid URL; "" for anything else. Path and query may hold secrets."""
    scheme = _SCHEME.match(url)
    parts = _PARTS.fullmatch(url, scheme.end()) if scheme else None
    if scheme is None or parts is None:
        return ""
    return f"{scheme[0]}{parts['host']}{parts['port'] or ''}"

"""The HTTP proxy through which requests to the upstream go, if one is set."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from gateway.urls import url_fault

_MAX_CHARACTERS = 2048
_HOW = "write http://host:port or http://user:password@host:port"


@dataclass(frozen=True, slots=True)
class Proxy:
    """`url`: without user and password. `headers`: for the proxy alone; they hold user and password."""

    url: str
    headers: dict[str, str] = field(repr=False)


def parse(text: SecretStr) -> Proxy | None:
    """The proxy, None if the text is empty. Raises ValueError without any part of the text."""
    url = text.get_secret_value()
    if not url:
        return None
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    bare = f"{scheme}://{host}"
    if scheme != "http" or url_fault(bare, max_characters=_MAX_CHARACTERS) or set("?#") & set(bare):
        raise ValueError(f"is not the URL of an HTTP proxy; {_HOW}")
    if urlsplit(bare).path not in ("", "/"):
        raise ValueError(f"must not have a path; {_HOW}")
    if not at:
        return Proxy(bare, {})
    name, colon, password = user.partition(":")
    if not name or not colon or "/" in user:
        raise ValueError(f"has a user without a password, or characters to percent-encode in them; {_HOW}")
    secret = b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return Proxy(bare, {"proxy-authorization": f"Basic {secret}"})

"""Arguments are checked before anything is sent. An error names the argument, and the way out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

from .records import Record

#: The paths of a gateway. Before them, a proxy may have a prefix.
_OWN_PATH: Final = re.compile(r"/(v1(/.*)?|docs/?)$")


def path_of(folder: str, kind: type[Record], given: object) -> str:
    """The path of one resource, by its record or its id."""
    found = given.id if isinstance(given, kind) and hasattr(given, "id") else given
    if not isinstance(found, str) or not found:
        name = kind.__name__
        article = "an" if name[0] in "EU" else "a"
        raise TypeError(f"{article} {name.lower()} is {article} {name} or its id, not {shown(given)}")
    return f"{folder}/{quote(found, safe='')}"


def shown(given: object) -> str:
    """A short text for a wrong argument."""
    return repr(given) if given is None or isinstance(given, str | int | float) else type(given).__name__


def whole_seconds(name: str, given: object, least: int, most: int) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not least <= given <= most:
        raise ValueError(f"{name}: a whole number of seconds from {least} to {most}, not {shown(given)}")
    return given


def one_of(name: str, given: object, choices: Sequence[str]) -> None:
    if given not in choices:
        raise ValueError(f"{name}: one of {', '.join(choices)}; not {shown(given)}")


def known(names: Sequence[str], given: Sequence[str], way_out: str) -> None:
    """TypeError for a name that is none of these, as of a misspelt argument."""
    for name in given:
        if name not in names:
            raise TypeError(f"there is no parameter {name!r}; there are {', '.join(names)}. {way_out}")


def plain(name: str, function: Any) -> None:
    """TypeError for what cannot be called without `await`."""
    if function is not None and (not callable(function) or inspect.iscoroutinefunction(function)):
        raise TypeError(f"{name}: pass a plain function, not one of `async def`, and not its result")


def address(url: str) -> str:
    """The URL of a gateway, without a slash at its end. ValueError for what cannot work."""
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname or split.query or split.fragment:
        raise ValueError(
            "the gateway's URL (url=, or the variable VIDU_GATEWAY_URL) must be like "
            "http://gateway.example.com:8080"
        )
    if split.username is not None:
        raise ValueError("the gateway's URL has a user name; pass the key as key=")
    if found := _OWN_PATH.search(split.path):
        prefix = split.path[: found.start()]
        raise ValueError(f"url must be without the path {found[0]}: {split.scheme}://{split.netloc}{prefix}")
    return url.rstrip("/")

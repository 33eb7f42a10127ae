"""Where the media store is: a folder, or a bucket with a prefix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from gateway.media.base import KEY

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Bucket(NamedTuple):
    """`prefix`: of every key, without slashes at its ends; may be empty."""

    name: str
    prefix: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def location_of(url: str) -> Path | Bucket:
    """Reads `file:///folder` or `s3://bucket/prefix`. ValueError with what is wrong; it never shows the URL,
    which may hold what should not be in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("takes no user, no query and no fragment; AWS_* variables say how to reach a bucket")
    if parts.scheme == "file":
        return _folder(parts.netloc, unquote(parts.path))
    if parts.scheme == "s3":
        return _bucket(parts.netloc, parts.path.strip("/"))
    raise ValueError("must start with file:/// or s3://")


def _folder(host: str, path: str) -> Path:
    if host or not path.startswith("/") or path.strip("/") == "":
        raise ValueError("must name a folder by its absolute path: file:///var/lib/vidu-gateway/media")
    return Path(path)


def _bucket(name: str, prefix: str) -> Bucket:
    if not _BUCKET.fullmatch(name):
        raise ValueError("must name a bucket of 3 to 63 lower-case letters, digits, dots and hyphens")
    if prefix and (not KEY.fullmatch(prefix) or ".." in prefix):
        raise ValueError("must have a prefix of at most four plain names: s3://bucket/one/two")
    return Bucket(name, prefix)

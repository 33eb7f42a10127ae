"""A media store in a bucket: S3, or whatever speaks its protocol. Needs the extra `s3`.

Address and credentials come from the `AWS_*` variables, as obstore reads them. An object is whole or not
there, and a `put` that returned is durable: S3 promises both.

Gateways write the marker anew each day, so that no rule that deletes old objects takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import S3Store

from gateway.environment import Environment
from gateway.errors import ConfigurationError, MediaStoreUnavailable, NotFound
from gateway.media import scratch
from gateway.media.base import Entry, Unmarked, check_key, filename_of, media_type_of
from gateway.media.location import Bucket

if TYPE_CHECKING:
    from obstore import Attributes, GetOptions, GetResult, ObjectMeta

MARKER: Final = ".vidu-gateway-media"
_MARKER_SECONDS: Final = 86_400.0
_CONNECT_SECONDS: Final = 1.0
#: For the first byte of an answer: a client may be waiting for it.
_ANSWER_SECONDS: Final = 2.0
#: For what nobody waits for, and between two pieces of an object.
_PIECE_SECONDS: Final = 20.0
#: Bytes per second of the slowest connection on which a file can still be stored.
_SLOWEST: Final = 1_000_000
_PIECE_BYTES: Final = 256 * 1024
_PART_BYTES: Final = 5 * 2**20  # of a multipart upload: the least that S3 takes
_PARTS_AT_ONCE: Final = 4
_KEYS_AT_ONCE: Final = 1000  # in one list, and in one deletion
_LONGEST_SIGNATURE: Final = 7 * 86_400
_T = TypeVar("_T")


class BucketStore:
    """ConfigurationError if the `AWS_*` variables make no sense. No request is made before it is used.
    `makes_marker`: as a gateway does."""

    def __init__(
        self, bucket: Bucket, monotonic: Callable[[], float] | None = None, *, makes_marker: bool = True
    ) -> None:
        self._bucket = bucket
        self._monotonic = monotonic or Environment().monotonic
        self._makes_marker = makes_marker
        self._marked_at: float | None = None
        self._marking = asyncio.Lock()
        try:
            scratch.private_folder()
            self._store = S3Store(
                bucket.name,
                prefix=bucket.prefix or None,
                client_options={
                    "allow_http": True,  # the scheme of AWS_ENDPOINT_URL decides
                    "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                    "read_timeout": timedelta(seconds=_PIECE_SECONDS),
                    "timeout": timedelta(hours=1),  # of a whole object; `read_timeout` ends what hangs
                },
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=_ANSWER_SECONDS)},
            )
        except MediaStoreUnavailable as error:
            raise ConfigurationError(f"GATEWAY_MEDIA_URL: {error}") from None
        except (BaseError, ValueError) as error:  # its message may hold a value, and so a secret
            lacking = re.search(r"Missing [A-Za-z]{1,40}", str(error))
            reason = lacking[0] if lacking else type(error).__name__
            text = f"GATEWAY_MEDIA_URL: the AWS_* variables do not fit together: {reason}"
            raise ConfigurationError(text) from None

    @property
    def scratch(self) -> Path:
        return scratch.private_folder()

    async def mark(self) -> None:
        async with self._marking:  # the first put of a process may be that of many requests at once
            now = self._monotonic()
            if self._marked_at is None or now - self._marked_at > _MARKER_SECONDS:
                if self._makes_marker:
                    await _done("written", obstore.put_async(self._store, MARKER, b"", use_multipart=False))
                else:
                    await self._check_marker()
                self._marked_at = now

    async def put(self, key: str, raw: bytes) -> None:
        check_key(key)
        await self.mark()
        attributes = _attributes(key)
        storing = obstore.put_async(self._store, key, raw, use_multipart=False, attributes=attributes)
        await _done("written", storing, _ANSWER_SECONDS + len(raw) / _SLOWEST)

    async def put_file(self, key: str, path: Path) -> None:
        check_key(key)
        size = await asyncio.to_thread(_size, path)
        await self.mark()
        storing = obstore.put_async(
            *(self._store, key, path),
            attributes=_attributes(key),
            chunk_size=_PART_BYTES,
            max_concurrency=_PARTS_AT_ONCE,
        )
        await _done("written", storing, _PIECE_SECONDS + size / _SLOWEST)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    async def read(self, key: str) -> bytes:
        return b"".join([piece async for piece in self.stream(key)])

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        check_key(key)
        if end is not None and end <= start:
            await self.size(key)
            return
        options: GetOptions = {}
        if end is not None:
            options = {"range": (start, end)}
        elif start > 0:
            options = {"range": {"offset": start}}
        if (result := await self._get(key, options)) is None:
            return
        pieces = aiter(result.stream(min_chunk_size=_PIECE_BYTES))
        while (piece := await _done("read", _next(pieces), _PIECE_SECONDS)) is not None:
            yield piece

    async def size(self, key: str) -> int:
        check_key(key)
        try:
            found = await _done("read", obstore.head_async(self._store, key), missing=True)
        except FileNotFoundError:
            raise await self._missing(key) from None
        return found["size"]

    async def drop(self, prefix: str) -> None:
        keys = [check_key(prefix)]
        async for found in self._listed(prefix):
            keys += [one["path"] for one in found]
        for at in range(0, len(keys), _KEYS_AT_ONCE):
            batch = keys[at : at + _KEYS_AT_ONCE]
            with contextlib.suppress(FileNotFoundError):  # some servers say so
                deleting = obstore.delete_async(self._store, batch)
                await _done("removed", deleting, _ANSWER_SECONDS + len(batch) / 100, missing=True)

    async def entries(self, prefix: str, starting: str = "") -> list[Entry]:
        """Lists all objects below the prefix, as only they have a time: 1000 a request."""
        inside = f"{check_key(prefix)}/" if prefix else ""
        ages: dict[str, float] = {}
        offset = inside + starting if starting else None
        async for found in self._listed(prefix, offset, _PIECE_SECONDS):
            for one in found:
                name = one["path"].removeprefix(inside).split("/", 1)[0]
                if not name.startswith(starting):  # lists are sorted
                    return [Entry(*age) for age in ages.items()]
                if not name.startswith("."):
                    ages[name] = max(ages.get(name, 0.0), one["last_modified"].timestamp())
        return [Entry(*age) for age in ages.items()]

    async def sign(self, key: str, seconds: int, *, media_type: str, filename: str | None) -> str | None:
        if media_type != media_type_of(check_key(key)) or filename is not None:
            return None  # obstore cannot sign other headers than those that were stored
        lasting = timedelta(seconds=min(seconds, _LONGEST_SIGNATURE))
        return await _done("signed", obstore.sign_async(self._store, "GET", key, lasting))

    async def space(self) -> None:
        return None

    async def sweep_scratch(self, before: float) -> int:
        try:
            return await asyncio.to_thread(scratch.remove_older, self.scratch, before)
        except OSError as error:
            raise MediaStoreUnavailable(f"a file could not be removed: {error.strerror}") from error

    async def probe(self) -> str:
        key, raw = f".probe-{Environment().entropy(8).hex()}", b"x"
        await _done("written", obstore.put_async(self._store, key, raw, use_multipart=False))
        try:
            found = await _done("read", obstore.get_async(self._store, key))
            if (await _done("read", found.bytes_async())).to_bytes() != raw:
                raise MediaStoreUnavailable("the media store does not return what was written")
        finally:
            await _done("removed", obstore.delete_async(self._store, key))
        return f"the bucket {self._bucket.url}"

    async def _check_marker(self) -> None:
        try:
            await _done("read", obstore.head_async(self._store, MARKER), missing=True)
        except FileNotFoundError:
            raise Unmarked("the bucket of media is missing, or is not the gateway's") from None

    async def _missing(self, key: str) -> NotFound:
        """The error for an object that is not there. Raises Unmarked if the marker is not there either."""
        try:
            await self._check_marker()
        except Unmarked:
            structlog.get_logger().error("media_bucket_missing", bucket=self._bucket.url)
            raise
        return NotFound("file", key.rpartition("/")[2])

    async def _get(self, key: str, options: GetOptions) -> GetResult | None:
        """None: the object ends before the range begins."""
        try:
            getting = obstore.get_async(self._store, key, options=options)
            return await _done("read", getting, missing=True)
        except FileNotFoundError:
            raise await self._missing(key) from None
        except _RangeRefused:
            return None

    async def _listed(
        self, prefix: str, offset: str | None = None, seconds: float | None = None
    ) -> AsyncIterator[list[ObjectMeta]]:
        """What lies below `<prefix>/`, in the order of keys, from behind `offset` on."""
        found = aiter(obstore.list(self._store, prefix or None, offset=offset, chunk_size=_KEYS_AT_ONCE))
        while (objects := await _done("listed", _next(found), seconds)) is not None:
            yield list(objects)


class _RangeRefused(MediaStoreUnavailable):
    """The object ends before the range begins."""


async def _next(pieces: AsyncIterator[_T]) -> _T | None:
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        return None


async def _done(what: str, call: Awaitable[_T], seconds: float | None = None, *, missing: bool = False) -> _T:
    """The result of a call to obstore. Raises MediaStoreUnavailable. `missing`: the caller handles
    FileNotFoundError, which says that there is no such object.

    obstore's own messages hold addresses, and what the server answered: they must not be seen."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS if seconds is None else seconds):
            return await call
    except FileNotFoundError as error:
        if missing and "NoSuchBucket" not in str(error):
            raise FileNotFoundError from None
        raise MediaStoreUnavailable(f"a file could not be {what}: the bucket does not exist") from None
    except (BaseError, ValueError, OSError) as error:
        reason, status = _reason(error)
        kind = _RangeRefused if status == "416" else MediaStoreUnavailable
        raise kind(f"a file could not be {what}: {reason}") from None


_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")


def _reason(error: Exception) -> tuple[str, str]:
    """In words, without anything secret; and the status of the answer, or an empty string."""
    text = str(error)
    if isinstance(error, TimeoutError) or "kind: Timeout" in text:
        return "the bucket did not answer in time", ""
    if "/latest/api/token" in text or "/latest/meta-data" in text:
        return "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role", ""
    if "POST REDACTED" in text:  # obstore hides this one request: the token of the role is in its address
        return "the credentials of the role could not be fetched", ""
    if status := _STATUS.search(text):
        code = _CODE.search(text)
        return f"the bucket answered {status[1]}{f' {code[1]}' if code else ''}", status[1]
    if "kind: Connect" in text:
        return "no connection to the bucket", ""
    return f"the bucket failed ({type(error).__name__})", ""


def _attributes(key: str) -> Attributes:
    return {
        "Content-Type": media_type_of(key),
        "Content-Disposition": f'inline; filename="{filename_of(key)}"',
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise MediaStoreUnavailable(f"a file could not be read: {error.strerror}") from error

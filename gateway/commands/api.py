"""HTTP calls of the command line, with the standard library: no proxies, redirects or keep-alive."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from gateway.errors import GatewayError, Unavailable

_MAX_ERROR_CHARACTERS = 600
_CHUNK_BYTES = 65_536


def ask(method: str, url: str, key: str, body: Any = None, seconds: float = 15.0) -> dict[str, Any]:
    """The JSON object of a 2xx response. Raises GatewayError for any other response, Unavailable for none."""
    with _answer(method, url, key, body, seconds) as response:
        text = response.read().decode(errors="replace")
        if not 200 <= response.status < 300:
            raise GatewayError(f"{method} {urlsplit(url).path} answered {response.status}: {_reasons(text)}")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise GatewayError(f"{method} {urlsplit(url).path} did not answer a JSON object")
    return found


def lines(url: str, key: str, query: Mapping[str, str], seconds: float = 60.0) -> Iterator[bytes]:
    """The body of the response to a GET, in chunks as they arrive. Raises as `ask` does."""
    with _answer("GET", f"{url}?{urlencode(query)}" if query else url, key, None, seconds) as response:
        if response.status != 200:
            reasons = _reasons(response.read().decode(errors="replace"))
            raise GatewayError(f"GET {urlsplit(url).path} answered {response.status}: {reasons}")
        while chunk := response.read(_CHUNK_BYTES):
            yield chunk


def _reasons(text: str) -> str:
    """All problems of a problem document; the start of any other text."""
    try:
        problem = json.loads(text)
        found = [f"{one['param']}: {one['message']}" for one in problem.get("errors", [])]
        return "; ".join(found) or str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:_MAX_ERROR_CHARACTERS]


def status(url: str, key: str | None = None, seconds: float = 1.0) -> int:
    """The HTTP status of a GET, or 0 if there is no response."""
    try:
        with _answer("GET", url, key, None, seconds) as response:
            return response.status
    except Unavailable:
        return 0


def save(url: str, path: Path, key: str | None = None, seconds: float = 60.0) -> None:
    """Download to `path`, which is created only when the download is complete. One redirect is followed,
    without the key."""
    part = path.with_name(f"{path.name}.part")
    with _answer("GET", url, key, None, seconds) as response:
        if response.status == 302 and key is not None:
            elsewhere = response.headers["Location"]
            response.close()
            save(elsewhere, path, None, seconds)
            return
        if response.status != 200:
            raise GatewayError(f"GET {urlsplit(url).path} answered {response.status}")
        with part.open("wb") as target:
            shutil.copyfileobj(response, target)
    part.replace(path)


@contextmanager
def _answer(method: str, url: str, key: str | None, body: Any, seconds: float) -> Iterator[HTTPResponse]:
    split = urlsplit(url)
    kind = HTTPSConnection if split.scheme == "https" else HTTPConnection
    connection = kind(split.hostname or "", split.port, timeout=seconds)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    path = f"{split.path or '/'}?{split.query}" if split.query else split.path or "/"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        yield connection.getresponse()
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{method} {split.scheme}://{split.netloc}{split.path}: {error!r}") from None
    finally:
        connection.close()

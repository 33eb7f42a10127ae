"""The append-only record of what the sandbox received, did and charged: one line of JSON for each fact.

Kinds: `post` (also with an incomplete body), `get`, `list`, `cancel`, `refund`, `callback` (one attempt),
`fetch` (of a reference, with its hash) and `fault` (when it applies). Each line is flushed at once. Tests
rely on it: there must be exactly one charged post for each job.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import orjson

from gateway.environment import Environment
from gateway.sandbox.faults import Fault

_SEEN_PAYLOAD = re.compile(rb'"payload"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")')
_SEEN_CALLBACK = re.compile(rb'"callback_url"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")')


class Ledger:
    """Every line has `kind`, `at` (seconds since the epoch) and `monotonic_ns`."""

    def __init__(self, path: Path, environment: Environment, *, fsync: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._environment = environment
        self._fsync = fsync
        self._file = path.open("ab")

    def write(self, kind: str, **facts: Any) -> None:
        stamp = {
            "kind": kind,
            "at": self._environment.clock(),
            "monotonic_ns": self.now_ns(),
        }
        self._file.write(orjson.dumps(stamp | facts, option=orjson.OPT_APPEND_NEWLINE))
        self._file.flush()
        if self._fsync:
            os.fsync(self._file.fileno())

    def now_ns(self) -> int:
        return int(self._environment.monotonic() * 1e9)

    def post(
        self,
        body: bytes,
        *,
        dialect: str,
        is_authorized: bool,
        first_byte_ns: int,
        last_byte_ns: int | None,
        reply: int | None,
        task_id: str | None = None,
        charged: str | None = None,
        account: str | None = None,
    ) -> None:
        """`reply`: the HTTP status; None if no answer is sent. `charged`: US dollars; None: nothing.
        `account`: the account of the key. `first_byte_ns`: when the head of the request arrived;
        `last_byte_ns`: when the end of its body arrived, None if it never did."""
        self.write(
            "post",
            dialect=dialect,
            authorized=is_authorized,
            account=account,
            complete=last_byte_ns is not None,
            first_byte_ns=first_byte_ns,
            last_byte_ns=last_byte_ns,
            reply=reply,
            task_id=task_id,
            charged=charged,
            payload=_seen(_SEEN_PAYLOAD, body),
            callback_token=token_of(_seen(_SEEN_CALLBACK, body) or ""),
            bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
        )

    def fault(self, fault: Fault, **facts: Any) -> None:
        """`facts`: what the fault applied to, as far as it is known: task_id, payload, callback_token."""
        self.write("fault", fault=fault.name, value=fault.value, by=fault.by, **facts)

    def read(self, kind: str | None = None, task_id: str | None = None) -> list[dict[str, Any]]:
        """The lines of the file, oldest first."""
        lines = (orjson.loads(line) for line in self._path.read_bytes().splitlines())
        return [
            line
            for line in lines
            if (kind is None or line["kind"] == kind) and (task_id is None or line.get("task_id") == task_id)
        ]

    def close(self) -> None:
        self._file.close()


def token_of(callback_url: str) -> str | None:
    """The last segment of the path of a callback URL; it identifies the job for the gateway."""
    path = callback_url.split("?", 1)[0]
    return path.rsplit("/", 1)[-1] or None


def _seen(pattern: re.Pattern[bytes], body: bytes) -> str | None:
    """The value of a key, even in a truncated body that is not valid JSON."""
    found = pattern.search(body)
    if found is None:
        return None
    try:
        value = orjson.loads(found[1])
    except orjson.JSONDecodeError:
        return None
    return str(value)

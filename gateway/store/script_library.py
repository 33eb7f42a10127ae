"""The library of functions that we keep in Redis: made from the Lua files, loaded when it is missing.

Every verb is a function of the library, and the shared parts in `scripts/lib/` are its tables. The library's
name and the names of its functions carry a hash of the text, so several versions can be there at once. They
also carry the number of the database: functions belong to the whole server, but each database knows only its
own versions, and removes the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final, NamedTuple

_FOLDER: Final = resources.files("gateway.store") / "scripts"
#: In the order of their dependencies: a part may use those before it.
PARTS: Final = (
    *("call", "record", "counters", "log", "role_facts", "ranks", "account_slots", "lane_tenants", "wakes"),
    *("lanes", "lane_pauses", "account_health", "queue_position", "turns", "dispatching", "circuit_breaker"),
    *(
        "quotas",
        "money",
        "budgets",
        "primary",
        "records",
        "tasks",
        "assets",
        "uploads",
        "attempts",
        "transitions",
        "effects",
        "finished",
    ),
)
STEM: Final = "vidu_gateway_"
#: What every part and verb may use besides the parts: the prefix of our keys.
_HEAD: Final = "local P = '{gw}:'\n"
#: A full Redis accepts no new job or upload, but must finish those it has: all other verbs may write then.
_REFUSED_WHEN_FULL: Final = frozenset({"accept", "add_upload"})
#: Redis lets them write nothing, so no replica needs to acknowledge them.
READ_ONLY: Final = frozenset(
    {"job_deliveries", "job_histories", "lane_state", "list_paused_lanes", "queue_positions", "read_ledger"}
)


class Library(NamedTuple):
    """`functions`: the name of each verb's function. `text`: what FUNCTION LOAD takes."""

    name: str
    text: bytes
    functions: Mapping[str, str]


@cache
def parts() -> Mapping[str, str]:
    """The text of every shared part, in the order of their dependencies."""
    return MappingProxyType({name: (_FOLDER / "lib" / f"{name}.lua").read_text() for name in PARTS})


@cache
def verbs() -> Mapping[str, str]:
    """The text of every verb."""
    names = sorted(path.name.removesuffix(".lua") for path in _FOLDER.iterdir() if path.name.endswith(".lua"))
    return MappingProxyType({name: (_FOLDER / f"{name}.lua").read_text() for name in names})


@cache
def library(database: int = 0) -> Library:
    """The library of this version. Built once per process."""
    return build(parts(), verbs(), database)


def build(parts: Mapping[str, str], verbs: Mapping[str, str], database: int = 0) -> Library:
    text = tables(parts) + "".join(f"-- {verb}\n{source}" for verb, source in verbs.items())
    mark = f"{database}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    functions = {verb: f"{verb}_{mark}" for verb in verbs}
    registered = "".join(
        f"do local function {verb}(KEYS, ARGV)\n{source}end\n"
        f"redis.register_function{{ function_name = '{functions[verb]}', flags = {{ {_flags(verb)} }},\n"
        f"callback = function(...) return lanes.run_call({verb}, ...) end }} end\n"
        for verb, source in verbs.items()
    )
    name = STEM + mark
    return Library(name, f"#!lua name={name}\n{tables(parts)}{registered}".encode(), functions)


@cache
def as_script(verb: str) -> bytes:
    """The same verb for EVAL, which needs no library, but makes all functions anew in each call."""
    head = f"#!lua flags={_flags(verb).strip(chr(39))}\n"
    body = f"return lanes.run_call(function()\n{verbs()[verb]}end)"
    return f"{head}{tables(parts())}{body}".encode()


def _flags(verb: str) -> str:
    if verb in READ_ONLY:
        return "'no-writes'"
    return "" if verb in _REFUSED_WHEN_FULL else "'allow-oom'"


def tables(parts: Mapping[str, str]) -> str:
    """Each part in a function of its own, so that its constants and helpers are private."""
    return _HEAD + "".join(f"local {name} = (function()\n{text}end)()\n" for name, text in parts.items())

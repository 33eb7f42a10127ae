"""Whose request it is: several keys, each with tasks that no other sees, and with days without credit."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

from gateway.sandbox.faults import REFUSING, Fault, parse
from gateway.sandbox.refusals import Refused

#: The account of the one key that a sandbox always has.
MAIN: Final = "main"


class Accounts:
    """`refusing`: the fault that strikes every creation of an account, until it is taken away."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = dict(keys)
        self.refusing: dict[str, Fault] = {}

    def of(self, authorization: str, scheme: str) -> str | None:
        """The account of a header like `Bearer KEY`; None for a key that is none of ours."""
        given, found = authorization.encode("latin-1"), None
        for name, key in self._keys.items():  # all of them: the time it takes tells nothing
            if hmac.compare_digest(given, f"{scheme} {key}".encode()):
                found = name
        return found

    def refuse(self, name: object, fault: object) -> None:
        """Refused for a name or a fault that there is not; without a fault it is well again."""
        if not isinstance(name, str) or name not in self._keys:
            raise Refused("FieldInvalid", f"account must be one of {', '.join(self._keys)}")
        if fault is None:
            self.refusing.pop(name, None)
            return
        wanted = parse(str(fault))
        if wanted.name not in REFUSING:
            raise Refused("FieldInvalid", f"refuse must be one of {', '.join(REFUSING)}, or null")
        self.refusing[name] = wanted

    def shown(self) -> dict[str, str | None]:
        """{name: what it is refused with}"""
        return {name: self.refusing[name].name if name in self.refusing else None for name in self._keys}

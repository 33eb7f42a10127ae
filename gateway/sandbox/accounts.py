"""The accounts of the sandbox. Each has its own key and its own tasks, and can be set to refuse creations."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

from gateway.sandbox.faults import REFUSING, Fault, parse
from gateway.sandbox.refusals import RequestRefused

#: The account of `Options.key`, which a sandbox always has.
MAIN: Final = "main"


class Accounts:
    """`refusing`: by account, the fault that every creation gets until it is removed."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = dict(keys)
        self.refusing: dict[str, Fault] = {}

    def of(self, authorization: str, scheme: str) -> str | None:
        """The account of a header such as `Bearer KEY`; None for an unknown key."""
        given, found = authorization.encode("latin-1"), None
        for name, key in self._keys.items():  # compare all of them, so that the time reveals nothing
            if hmac.compare_digest(given, f"{scheme} {key}".encode()):
                found = name
        return found

    def refuse(self, name: object, fault: object) -> None:
        """Sets the fault of an account; None removes it. RequestRefused for an unknown name or fault."""
        if not isinstance(name, str) or name not in self._keys:
            raise RequestRefused("FieldInvalid", f"account must be one of {', '.join(self._keys)}")
        if fault is None:
            self.refusing.pop(name, None)
            return
        wanted = parse(str(fault))
        if wanted.name not in REFUSING:
            raise RequestRefused("FieldInvalid", f"refuse must be one of {', '.join(REFUSING)}, or null")
        self.refusing[name] = wanted

    def shown(self) -> dict[str, str | None]:
        """{account: the name of its fault, or None}"""
        return {name: self.refusing[name].name if name in self.refusing else None for name in self._keys}

"""The operations on the upstream's accounts, of the API's document."""

from __future__ import annotations

from typing import Final

from gateway.tenants import Scope
from gateway.web.openapi.parts import Document, answer, change, operation
from gateway.web.schemas import ops

_NAME: Final[Document] = {
    "name": "account",
    "in": "path",
    "required": True,
    "description": "As the settings name it.",
    "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,31}$"},
}


def accounts() -> Document:
    return {
        "/ops/api/account": {"get": _show("showAccount", "The upstream's account `main`")},
        "/ops/api/account/park": {"post": _park("parkAccount", "Send nothing with `main`")},
        "/ops/api/account/resume": {"post": _resume("resumeAccount", "Send with `main` again")},
        "/ops/api/accounts": {"get": _list()},
        "/ops/api/accounts/{account}": {
            "parameters": [_NAME],
            "get": _show("showNamedAccount", "One of the upstream's accounts", 404),
        },
        "/ops/api/accounts/{account}/park": {
            "parameters": [_NAME],
            "post": _park("parkNamedAccount", "Send nothing with this account", 404),
        },
        "/ops/api/accounts/{account}/resume": {
            "parameters": [_NAME],
            "post": _resume("resumeNamedAccount", "Send with this account again", 404),
        },
    }


def _list() -> Document:
    answers = {"200": answer("All of them, `main` first.", ops.AccountList)}
    return operation("listAccounts", "The upstream's accounts", Scope.OPS_READ, answers, 400)


def _show(name: str, summary: str, *errors: int) -> Document:
    answers = {"200": answer("The account.", ops.Account)}
    return operation(name, summary, Scope.OPS_READ, answers, 400, *errors)


def _park(name: str, summary: str, *errors: int) -> Document:
    answers = {"200": answer("Parked.", ops.Account)}
    return change(name, summary, answers, ops.ParkRequest, *errors)


def _resume(name: str, summary: str, *errors: int) -> Document:
    answers = {"200": answer("Not parked.", ops.Account)}
    return operation(name, summary, Scope.OPS_WRITE, answers, 400, *errors)

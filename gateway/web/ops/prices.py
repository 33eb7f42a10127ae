"""Operators' operations on prices: show and replace them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import strict_json
from gateway.errors import Conflict, InvalidRequest, Problem, shown
from gateway.jobs import rfc3339
from gateway.money import price_document
from gateway.money.prices import PriceBook, changes_between
from gateway.tenants import Key
from gateway.web.http.answers import json_answer
from gateway.web.http.bodies import JsonBody
from gateway.web.http.params import Params
from gateway.web.schemas import prices as schemas
from gateway.web.state import State, state_of

_MAX_BODY_BYTES: Final = 1_000_000
_BODY_SECONDS: Final = 10.0


async def show(request: Request, key: Key, _: Params) -> Response:
    """The prices of this process, and those of the other processes by their digests."""
    return json_answer(await _view(state_of(request)))


async def replace(request: Request, key: Key, _: Params) -> Response:
    """The new prices. InvalidRequest lists every wrong field; Conflict if there is a price file, or if
    somebody else changed the prices since."""
    state = state_of(request)
    async with JsonBody(request, key.tenant, state.budget, _MAX_BODY_BYTES, _BODY_SECONDS) as raw:
        document = strict_json.loads(raw)
    if not isinstance(document, Mapping):
        raise InvalidRequest([Problem("", "not_an_object", "send one JSON object with currency and prices")])
    if state.price_watch.path is not None:
        message = f"prices are in the file {state.price_watch.path} (GATEWAY_PRICES_FILE): change it there"
        raise Conflict(f"{message}; every gateway reads it again within seconds")
    seen = _version(document)
    wanted = {name: value for name, value in document.items() if name != "version"}
    book = price_document.read(wanted, state.resources.settings.currency)
    store = state.resources.prices
    stored = await store.read()
    try:
        before = price_document.read_stored(stored.document)
    except InvalidRequest:  # stored by another version; what replaces it must not depend on it
        before = PriceBook()
    changes = {
        "changes": changes_between(before, book),
        "prices": f"{len(before.prices)} -> {len(book.prices)}",
    }
    if (seen is not None and seen != stored.version) or (
        await store.change(book, stored.version, key.id, changes) is None
    ):
        since = "while these were sent" if seen is None else f"since version {seen}"
        raise Conflict(f"the prices have changed {since}; get them again, and change those")
    await state.price_watch.look()
    return json_answer(await _view(state))


def _version(document: Mapping[str, object]) -> int | None:
    found = document.get("version")
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and found >= 0):
        return found
    message = f"send the version that you changed, or leave it out, not {shown(found)}"
    raise InvalidRequest([Problem("version", "wrong_type", message)])


async def _view(state: State) -> schemas.Prices:
    watch, resources = state.price_watch, state.resources
    stored = await resources.prices.read()
    from_file = watch.path is not None
    book = resources.intake.prices.book
    document = book.document()
    return {
        "object": "prices",
        "source": "file" if from_file else "store",
        "file": str(watch.path) if from_file else None,
        "fault": watch.fault,
        "currency": book.currency,
        "digest": book.digest,
        "version": None if from_file else stored.version,
        "changed_at": None if from_file else rfc3339(stored.at),
        "changed_by": None if from_file else stored.by,
        "prices": document["prices"],
        "processes": [
            {
                "process": one.process,
                "digest": one.digest,
                "since": rfc3339(one.since),
                "last_seen_at": rfc3339(one.seen),
                "fault": one.fault,
            }
            for one in await resources.prices.in_use()
        ],
    }

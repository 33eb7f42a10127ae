"""Reads HTML forms, within limits."""

from __future__ import annotations

from typing import Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.requests import Request

from gateway.errors import InvalidRequest
from gateway.web.http import bodies
from gateway.web.http.headers import headers_of
from gateway.web.ops import bodies as ops_bodies
from gateway.web.pages.sessions import FormRefused, Viewer, actor_of
from gateway.web.schemas.ops import OpsRequest

_MAX_BYTES: Final = 16_384
_SECONDS: Final = 10.0
_MAX_FIELDS: Final = 20
_KIND: Final = b"application/x-www-form-urlencoded"

Form = dict[str, str]
M = TypeVar("M", bound=OpsRequest)


async def read(request: Request) -> Form:
    """The stripped fields, without empty ones. Raises FormRefused, or Refusal as `bodies.read` does."""
    if headers_of(request).get(b"content-type", b"").partition(b";")[0].strip().lower() != _KIND:
        raise FormRefused("it was not sent as a form; use the page to send it")
    raw = await bodies.read(request, _MAX_BYTES, _SECONDS)
    try:
        pairs = parse_qsl(raw.decode(), strict_parsing=bool(raw), max_num_fields=_MAX_FIELDS)
    except (ValueError, UnicodeDecodeError):
        raise FormRefused("it cannot be read; go back, load the page again and send it once more") from None
    return {name: value.strip() for name, value in pairs if value.strip()}


async def acting(request: Request) -> tuple[Viewer, Form]:
    """The viewer who sent the form, who must be allowed to act, and its fields."""
    form = await read(request)
    viewer = await actor_of(request, form.pop("token", None))
    return viewer, form


def parse(model: type[M], form: Form) -> M:
    """The form as a request body of the API. InvalidRequest lists every wrong field."""
    values: dict[str, object] = dict(form)
    try:
        return model.model_validate_strings(values)
    except ValidationError as error:
        raise InvalidRequest(ops_bodies.explain(error, model)) from None

"""Reads the body of a `POST /v1/videos`: a form, as most clients send it, or JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request

from gateway import strict_json
from gateway.doors.openai.request import File, Part, Translation, of_form, of_json
from gateway.errors import MalformedBody, Problem
from gateway.generation import Incoming
from gateway.web.http.bodies import check_encoding, check_form
from gateway.web.http.form import Field, fields_of
from gateway.web.http.headers import headers_of
from gateway.web.http.multipart import boundary_of

#: OpenAI's libraries count the retries of a request in it.
RETRIES: Final = b"x-stainless-retry-count"
_COUNT: Final = re.compile(rb"[0-9]{1,4}\Z")
#: Further retries find what this one found.
_MOST_RETRIES: Final = 9


class VideoBody:
    """`translation`: of the body, once it was read. `attempt`: how often the client sent the request before;
    None: it does not say."""

    def __init__(self, request: Request, models: Mapping[str, str]) -> None:
        headers = headers_of(request)
        self._boundary = boundary_of(headers.get(b"content-type", b""))
        self._models = models
        count = headers.get(RETRIES, b"")
        self.attempt = min(_MOST_RETRIES, int(count)) if _COUNT.match(count) else None
        self.translation: Translation | None = None

    def check_form(self, request: Request) -> None:
        """Refusal (415) if the body is neither a form nor JSON."""
        if self._boundary is None:
            check_form(request)
        else:
            check_encoding(request)

    def read(self, raw: bytes) -> Incoming:
        """Raises MalformedBody, ModelNotFound."""
        if self._boundary is not None:
            parts = [_part(field) for field in fields_of(raw, self._boundary)]
            self.translation = of_form(parts, self._models)
        else:
            document = strict_json.loads(raw)
            if not isinstance(document, dict):  # which is refused
                return Incoming(document)
            self.translation = of_json(document, self._models)
        found = self.translation
        return Incoming(found.document, found.problems, found.notices)


def _part(field: Field) -> Part:
    if field.is_file:
        return Part(field.name, File(field.raw))
    try:
        return Part(field.name, field.raw.decode())
    except UnicodeDecodeError:
        message = "is not UTF-8; send text as UTF-8, and a file with its name"
        raise MalformedBody([Problem(field.name[:64], "not_utf8", message)]) from None

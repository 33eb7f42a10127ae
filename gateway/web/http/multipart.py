"""Takes the one file out of a form (multipart/form-data, RFC 7578) while the form comes in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

from gateway.errors import InvalidRequest, Problem
from gateway.web.http.problems import Refusal

FORM: Final = b"multipart/form-data"
#: A form may be so much larger than the file in it, in bytes.
ROOM: Final = 64 * 1024
_MAX_NAME_CHARACTERS: Final = 64


def boundary_of(content_type: bytes) -> bytes | None:
    """The boundary of a form, or None if the body is no form. Raises Refusal (400) if it names none."""
    if content_type.partition(b";")[0].strip().lower() != FORM:
        return None
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Refusal(400, "the Content-Type of a form must name its boundary; let your HTTP client write it")
    return boundary


async def file_in(body: AsyncIterator[bytes], boundary: bytes, field: str) -> AsyncIterator[bytes]:
    """The pieces of the file in this field, which must be the only one. Raises InvalidRequest, or Refusal
    (400) if the body is no such form."""
    reader = _Reader(field)
    try:
        parser = MultipartParser(boundary, reader.callbacks)
        async for piece in body:
            parser.write(piece)
            for part in reader.taken():
                yield part
        parser.finalize()
    except FormParserError as error:
        raise Refusal(400, "the body is not a form as its Content-Type says; send it again") from error
    if not reader.complete:
        raise Refusal(400, "the form ends before its last boundary; send it again")
    if not reader.files:
        raise InvalidRequest(
            [Problem(field, "required", f"the form has no file; send it in the field {field}")]
        )


class _Reader:
    """What the parser finds. Its callbacks only collect: they cannot wait for a disk."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._pieces: list[bytes] = []
        self._name = self._value = b""
        self.files = 0
        self.complete = False

    @property
    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_begin": self._part_begin,
            "on_part_data": self._part_data,
            "on_end": self._end,
        }

    def taken(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces

    def _part_begin(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name", b"").decode(errors="replace")
        if name != self._field:
            message = f"is not a field of this form; send the file alone, in the field {self._field}"
            raise InvalidRequest([Problem(name[:_MAX_NAME_CHARACTERS], "unknown_parameter", message)])
        self.files += 1
        if self.files > 1:
            raise InvalidRequest([Problem(name, "given_twice", "is given twice; send one file")])

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def _end(self) -> None:
        self.complete = True

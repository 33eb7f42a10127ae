"""Reads all fields of a form (multipart/form-data, RFC 7578) that is in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import MalformedBody, Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELDS: Final = 100
_FILE_TYPES: Final = (b"image/", b"video/", b"application/octet-stream")


@dataclass(slots=True)
class Field:
    """`is_file`: it has a file name, or the type of a file."""

    name: str
    raw: bytes = field(repr=False)
    is_file: bool


def fields_of(raw: bytes, boundary: bytes) -> list[Field]:
    """In the order of the form. Raises MalformedBody."""
    reader = _Reader()
    try:
        parser = MultipartParser(boundary, reader.callbacks)
        parser.write(raw)
        parser.finalize()
    except FormParserError as error:
        raise _malformed("the body is not a form as its Content-Type says; send it again") from error
    if not reader.complete:
        raise _malformed("the form ends before its last boundary; send it again")
    return reader.found


class _Reader:
    """What the parser finds."""

    def __init__(self) -> None:
        self.found: list[Field] = []
        self.complete = False
        self._name = self._value = b""
        self._head: dict[bytes, bytes] = {}
        self._data: list[bytes] = []

    @property
    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        if len(self.found) == MAX_FIELDS:
            raise _malformed(f"the form has more than {MAX_FIELDS} fields; send fewer")
        self._head, self._data = {}, []

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._head[self._name.lower()] = self._value
        self._name = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        options = parse_options_header(self._head.get(b"content-disposition", b""))[1]
        name = options.get(b"name", b"").decode(errors="replace")
        kind = self._head.get(b"content-type", b"").strip().lower()
        is_file = b"filename" in options or kind.startswith(_FILE_TYPES)
        self.found.append(Field(name, b"".join(self._data), is_file))

    def _end(self) -> None:
        self.complete = True


def _malformed(message: str) -> MalformedBody:
    return MalformedBody([Problem("", "wrong_form", message)])

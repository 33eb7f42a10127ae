"""Reads prices from a document: that of a price file, or of a request. It names every fault at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from gateway.errors import AmountRefused, ConfigurationError, InvalidRequest, Problem, shown
from gateway.money.amounts import EXPECTED, to_micros
from gateway.money.prices import Price, PriceBook, Use

MAX_PRICES: Final = 1000
DIALECTS: Final = ("vtrix", "vidu")
MODELS: Final = ("viduq2_pro_reference",)
RESOLUTIONS: Final = ("540p", "720p", "1080p")
#: Parameters for which an upstream may charge more.
SURCHARGES: Final = ("bgm", "watermark")
_MAX_PROBLEMS: Final = 20
_MAX_SHOWN_CHARACTERS: Final = 64
_FILE_BYTES: Final = 1_000_000
_TIERS: Final = ("first_second", "second_second", "further_second")
_FIELDS: Final = (*Use._fields, "valid_from", *_TIERS, "surcharges")
_NAMES: Final = {"dialect": DIALECTS, "model": MODELS, "resolution": RESOLUTIONS}


def read_file(path: Path, currency: str) -> PriceBook:
    """The prices in a TOML file. ConfigurationError says what is wrong with it."""
    return parse_file(raw_file(path), path, currency)


def raw_file(path: Path) -> bytes:
    """The bytes of a price file. ConfigurationError if it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > _FILE_BYTES:
        raise ConfigurationError(f"{path} is larger than {_FILE_BYTES} bytes; is it a price file?")
    return raw


def parse_file(raw: bytes, path: Path, currency: str) -> PriceBook:
    """The prices in these bytes of a price file. ConfigurationError says what is wrong with them."""
    try:
        return read(document_of(raw), currency)
    except ValueError as error:  # also of UTF-8
        raise ConfigurationError(f"{path} is not TOML that can be read: {error}") from None
    except InvalidRequest as error:
        raise ConfigurationError(f"{path}: {error}") from None


def document_of(raw: bytes) -> dict[str, Any]:
    """The document in the bytes of a price file, unchecked. ValueError if they cannot be read."""
    try:
        return tomllib.loads(raw.decode(), parse_float=Decimal)
    except ArithmeticError:
        raise ValueError(f"it has a number out of range; send {EXPECTED}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read(document: Mapping[str, object], currency: str) -> PriceBook:
    """The prices in a document. `currency`: of the installation. InvalidRequest lists every fault."""
    problems = [
        Problem(name[:_MAX_SHOWN_CHARACTERS], "unknown_parameter", _unknown(name, ("currency", "prices")))
        for name in document
        if name not in ("currency", "prices")
    ]
    if document.get("currency") != currency:
        problems.append(Problem("currency", "wrong_currency", _other_currency(document, currency)))
    rows = document.get("prices")
    prices: list[Price] = []
    if not isinstance(rows, list) or len(rows) > MAX_PRICES:
        problems.append(Problem("prices", "wrong_type", f"send a list of at most {MAX_PRICES} prices"))
    else:
        prices = _prices(rows, problems)
    if problems:
        raise InvalidRequest(problems[:_MAX_PROBLEMS])
    return PriceBook(tuple(prices), currency)


def read_stored(document: Mapping[str, object] | None) -> PriceBook:
    """Prices that were checked when they were stored, in whatever currency; None: none were."""
    return read(document, str(document["currency"])) if document else PriceBook()


def _other_currency(document: Mapping[str, object], currency: str) -> str:
    if "currency" not in document:
        return f'is required; send "{currency}", the currency of this gateway (GATEWAY_CURRENCY)'
    given = shown(document["currency"])
    return f'is {given}, but this gateway counts in "{currency}" (GATEWAY_CURRENCY); convert the prices'


def _prices(rows: list[object], problems: list[Problem]) -> list[Price]:
    prices: list[Price] = []
    first: dict[tuple[Use, str], int] = {}
    for number, row in enumerate(rows):
        if len(problems) >= _MAX_PROBLEMS:
            break
        at = f"prices[{number}]"
        if not isinstance(row, dict):
            problems.append(Problem(at, "wrong_type", f"send an object, not {shown(row)}"))
            continue
        reader = _Row(at, row, problems)
        price = reader.price()
        if price is None:
            continue
        earlier = first.setdefault((price.use, price.valid_from), number)
        if earlier != number:
            message = f"is for the same use and the same day as prices[{earlier}]; leave one out"
            problems.append(Problem(at, "given_twice", message))
        prices.append(price)
    return prices


class _Row:
    """One row. Each fault is added to `problems`, with the path of its field."""

    def __init__(self, at: str, row: dict[str, Any], problems: list[Problem]) -> None:
        self._at = at
        self._row = row
        self._problems = problems

    def price(self) -> Price | None:
        before = len(self._problems)
        for name in self._row:
            if name not in _FIELDS:
                self._fault(name[:_MAX_SHOWN_CHARACTERS], "unknown_parameter", _unknown(name, _FIELDS))
        dialect, model, resolution = (self._word(name, known) for name, known in _NAMES.items())
        use = Use(dialect, model, resolution, self._flag("with_clips"), self._flag("off_peak"))
        valid_from = self._day()
        first, second, further = (self._amount(name, self._row.get(name)) for name in _TIERS)
        price = Price(use, valid_from, first, second, further, self._surcharges())
        return price if len(self._problems) == before else None

    def _fault(self, name: str, code: str, message: str) -> None:
        self._problems.append(Problem(f"{self._at}.{name}", code, message))

    def _word(self, name: str, known: tuple[str, ...]) -> str:
        value = self._row.get(name)
        if value in known:
            return str(value)
        what = "is required" if name not in self._row else f"is {shown(value)}"
        self._fault(name, "not_one_of", f"{what}; send {_or(known)}")
        return ""

    def _flag(self, name: str) -> bool:
        value = self._row.get(name, False)
        if not isinstance(value, bool):
            self._fault(name, "wrong_type", f"send true or false, not {shown(value)}")
        return value is True

    def _day(self) -> str:
        value = self._row.get("valid_from")
        try:  # a date of TOML, or its text; `datetime` is a date too, but has another form
            text = value.isoformat() if isinstance(value, date) else value
            if isinstance(text, str) and date.fromisoformat(text).isoformat() == text:
                return text
        except ValueError:
            pass
        what = "is required" if value is None else f"is {shown(str(value))}"
        self._fault("valid_from", "wrong_form", f'{what}; send a day in UTC such as "2026-12-01"')
        return ""

    def _amount(self, name: str, value: object) -> int:
        if value is None:
            self._fault(name, "required", f"is required; send {EXPECTED}")
        elif isinstance(value, float):
            self._fault(name, "wrong_type", f"is a number, which may be inexact; send {EXPECTED}")
        elif isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            self._fault(name, "wrong_type", f"send {EXPECTED}, not {shown(value)}")
        else:
            try:
                return to_micros(str(value) if isinstance(value, int) else value)
            except AmountRefused as refused:
                self._fault(name, "out_of_range", str(refused))
        return 0

    def _surcharges(self) -> dict[str, int]:
        value = self._row.get("surcharges", {})
        if not isinstance(value, dict):
            message = f"send an object such as {{{SURCHARGES[0]}: amount}}, not {shown(value)}"
            self._fault("surcharges", "wrong_type", message)
            return {}
        for name in value:
            if name not in SURCHARGES:
                at = f"surcharges.{name[:_MAX_SHOWN_CHARACTERS]}"
                self._fault(at, "unknown_parameter", _unknown(name, SURCHARGES))
        return {
            name: self._amount(f"surcharges.{name}", more)
            for name, more in value.items()
            if name in SURCHARGES
        }


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name[:_MAX_SHOWN_CHARACTERS].lower(), known, n=1)
    way_out = f"did you mean {near[0]}?" if near else f"send {', '.join(known)}"
    return f"is not a parameter; {way_out}"


def _or(known: tuple[str, ...]) -> str:
    return " or ".join(f'"{one}"' for one in known)

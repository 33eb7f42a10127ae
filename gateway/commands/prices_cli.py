"""`vidu-gateway prices`: operators' commands on prices, over the gateway's API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.commands import printing
from gateway.commands.options import AsJson, OperatorKey, Url, call
from gateway.commands.printing import blocks, fields, rows, show_result
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway.commands.printing import Lines

prices = typer.Typer(help="Prices: list, check and replace them.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A price file (TOML).")]
_COLUMNS: Final = (
    *("dialect", "model", "resolution", "with_clips", "off_peak", "valid_from"),
    *("first_second", "second_second", "further_second", "surcharges"),
)


@prices.command("list")
def list_prices(url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """List the prices, and how many gateway processes work with them."""
    show_result(call("GET", "prices", url, key), as_json, _lines)


@prices.command("set")
def replace(file: File, url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """Replace all prices by those of a price file."""
    found = call("PUT", "prices", url, key, _document(file))
    show_result(found, as_json, lambda found: f"{len(found['prices'])} prices, version {found['version']}")


@prices.command()
def check(
    file: File,
    currency: Annotated[
        str, typer.Option(envvar="GATEWAY_CURRENCY", help="The currency of the service.")
    ] = "USD",
    as_json: AsJson = False,
) -> None:
    """Check a price file without a gateway. Exit code 1 if it is wrong."""
    from gateway.money.price_document import read_file

    book = read_file(file, currency)
    if as_json:
        printing.show_json({**book.document(), "digest": book.digest})
        return
    printing.say(f"{file} is right: {len(book.prices)} prices in {currency}, digest {book.digest}")


def _document(file: Path) -> dict[str, Any]:
    """The prices in the file in the form of the API, which knows the currency."""
    from gateway.money.price_document import document_of, raw_file, read_file

    try:
        currency = document_of(raw_file(file)).get("currency")
    except ValueError as error:
        raise ConfigurationError(f"{file} is not TOML that can be read: {error}") from None
    return read_file(file, str(currency)).document()


def _lines(found: Mapping[str, Any]) -> Lines:
    shown = {name: found[name] for name in ("source", "file", "currency", "digest", "version", "fault")}
    processes = found["processes"]
    same = sum(one["digest"] == found["digest"] for one in processes)
    shown["processes"] = f"{same} of {len(processes)} work with these prices"
    listed = [
        one | {"surcharges": " ".join(f"{name} {more}" for name, more in one["surcharges"].items())}
        for one in found["prices"]
    ]
    empty = "no prices: estimates are unknown"
    return blocks(
        fields({name: value for name, value in shown.items() if value is not None}),
        rows(listed, _COLUMNS, empty=empty),
    )

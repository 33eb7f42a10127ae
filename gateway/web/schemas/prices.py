"""Schemas of prices in the operators' API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway.money.amounts import PATTERN
from gateway.money.price_document import DIALECTS, MAX_PRICES, MODELS, RESOLUTIONS, SURCHARGES
from gateway.web.schemas.jobs import Timestamp
from gateway.web.schemas.shape import shape

DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
Amount = Annotated[str, Field(pattern=PATTERN, examples=["0.2750"])]
Day = Annotated[str, Field(pattern=DAY, examples=["2026-12-01"], json_schema_extra={"format": "date"})]


class _Request(BaseModel):
    """Only documents a body. `gateway.money.price_document` reads it, as it reads a price file."""

    model_config = ConfigDict(extra="forbid")


class PriceRow(_Request):
    """The price of one use, from 00:00 UTC of a day until a newer price for the same use."""

    dialect: str = Field(description="Of the upstream.", json_schema_extra={"enum": [*DIALECTS]})
    model: str = Field(json_schema_extra={"enum": [*MODELS]})
    resolution: str = Field(json_schema_extra={"enum": [*RESOLUTIONS]})
    with_clips: bool = Field(False, description="Whether clips are among the references.")
    off_peak: bool = False
    valid_from: Day
    first_second: Amount
    second_second: Amount
    further_second: Amount = Field(description="For each further second.")
    surcharges: dict[str, Amount] = Field(
        default_factory=dict,
        description=f"What these parameters cost more when they are true: {', '.join(SURCHARGES)}.",
        json_schema_extra={"propertyNames": {"enum": [*SURCHARGES]}},
    )


class PricesRequest(_Request):
    """All prices. They replace those of before."""

    currency: str = Field(description="The currency of the service.")
    prices: list[PriceRow] = Field(max_length=MAX_PRICES)
    version: int | None = Field(
        default=None, ge=0, description="The version that you changed. If it is not the newest: 409."
    )


@shape
class ShownPrice(TypedDict):
    """The price of one use, from 00:00 UTC of a day until a newer price for the same use."""

    dialect: str
    model: str
    resolution: str
    with_clips: bool
    off_peak: bool
    valid_from: Day
    first_second: Amount
    second_second: Amount
    further_second: Amount
    surcharges: dict[str, Amount]


@shape
class PricesInUse(TypedDict):
    """The prices that a gateway process works with."""

    process: str
    digest: str
    since: Timestamp
    last_seen_at: Timestamp
    fault: bool
    """It could not read newer prices, and works with the last good ones."""


@shape
class Prices(TypedDict):
    """The prices of this gateway process."""

    object: Literal["prices"]
    source: Literal["file", "store"]
    """`file`: they are in the price file, and cannot be changed here."""
    file: str | None
    fault: str | None
    """Why newer prices cannot be used, if they cannot. The last good ones count."""
    currency: str
    digest: str
    """Equal for equal prices."""
    version: int | None
    """Of the stored prices; 0: none were ever stored. null with a price file."""
    changed_at: Timestamp | None
    changed_by: str | None
    """Id of an operator's key."""
    prices: list[ShownPrice]
    processes: list[PricesInUse]
    """All gateway processes that reported lately. All digests should be equal."""

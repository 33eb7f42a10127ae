"""Settings of prices and their currency."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings

from gateway.errors import ConfigurationError
from gateway.money import price_document
from gateway.money.prices import CURRENCY
from gateway.settings.types import or_none


def _currency(value: str) -> str:
    if not (len(value) == 3 and value.isascii() and value.isupper()):
        raise ValueError("must be a code of ISO 4217 such as USD or EUR")
    return value


class MoneySettings(BaseSettings):
    currency: Annotated[str, AfterValidator(_currency)] = Field(
        CURRENCY, description="Currency of all prices, budgets and charges, the same in all processes."
    )
    credit_price: Decimal = Field(
        Decimal("0.005"),
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="Price of one of Vidu's credits, where an answer says only credits.",
    )
    prices_file: Annotated[Path | None, BeforeValidator(or_none)] = Field(
        None, description="Price file (TOML). Empty: prices are in the store, changed by operators."
    )

    def check_prices(self) -> None:
        """Raises ConfigurationError if the price file cannot be used. Only gateways need it."""
        if self.prices_file is not None:
            try:
                price_document.read_file(self.prices_file, self.currency)
            except ConfigurationError as error:
                raise ConfigurationError(f"GATEWAY_PRICES_FILE: {error}") from None

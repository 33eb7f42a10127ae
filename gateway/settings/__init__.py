"""All environment variables of the service: name, type, unit and default.

A field is named like its variable, in lower case and without `GATEWAY_`. A wrong value stops the process at
startup with an error that names the variable (`load`). Each part of the service has its own module; values
derived from several of them are here.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from gateway import crash_points
from gateway.dispatch import CallbackLimits, HealthLimits, Role, RoleLimits
from gateway.errors import ConfigurationError
from gateway.generation import Limits
from gateway.jobs import Deadlines
from gateway.keyring import Keyring
from gateway.settings.callbacks import CallbackSettings
from gateway.settings.deliveries import DeliverySettings
from gateway.settings.edge import EdgeSettings
from gateway.settings.intake import IntakeSettings
from gateway.settings.process import ProcessSettings
from gateway.settings.upstream import UpstreamSettings

_PREFIX: Final = "GATEWAY_"
_MAX_PAUSE_FACTOR: Final = 30  # times the first pause
_RETRY_SHARE: Final = (
    0.75  # maximum share of delivery slots for retries, so that first attempts always get some
)


class Settings(
    DeliverySettings, IntakeSettings, CallbackSettings, UpstreamSettings, EdgeSettings, ProcessSettings
):
    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True)

    def keyring(self) -> Keyring:
        return Keyring.parse(self.secret_keys.get_secret_value())

    def limits(self) -> Limits:
        return Limits(
            off_peak=self.off_peak,
            allow_private_media_urls=self.allow_private_media_urls,
            prompt_max_characters=self.prompt_max_characters,
            payload_max_characters=self.payload_max_characters,
        )

    def job_deadline(self, off_peak: bool) -> float:
        """Seconds from a submission until we stop waiting for the upstream."""
        slow = self.off_peak_deadline_seconds if off_peak else 0.0
        return max(self.job_deadline_seconds, slow)

    def deadlines(self) -> Deadlines:
        return Deadlines(
            self.start_deadline_seconds, self.total_deadline_seconds, self.off_peak_deadline_seconds
        )

    def callback_limits(self) -> CallbackLimits:
        return CallbackLimits(
            gap_ms=int(self.callback_gap_seconds * 1000),
            first_poll_ms=int(self.poll_first_seconds * 1000),
            retention_ms=int(self.retention_seconds * 1000),
        )

    def roles(self) -> dict[Role, RoleLimits]:
        lease = int(self.lease_seconds * 1000)
        poll = int(self.upstream_query_seconds * 1000) + lease
        attempt = int(self.delivery_timeout_seconds * 1000) + lease
        pause = int(self.delivery_park_seconds * 1000)
        accounts = tuple(account.limits for account in self.accounts())
        return {
            Role.SUBMIT: RoleLimits(
                sum(account.slots for account in accounts),
                self.upstream_tenant_slots,
                lease,
                probe_ms=int(self.account_retry_seconds * 1000),
                accounts=accounts,
            ),
            Role.CONFIRM: RoleLimits(self.confirm_slots, self.confirm_slots, poll, self.queries_per_second),
            Role.DELIVER: RoleLimits(
                self.delivery_slots,
                self.delivery_endpoint_slots,
                attempt,
                retry_share=_RETRY_SHARE,
                tenant_slots=self.delivery_tenant_slots,
                health=HealthLimits(pause_ms=pause, max_pause_ms=_MAX_PAUSE_FACTOR * pause),
            ),
        }


def load() -> Settings:
    """The settings of this process. Raises ConfigurationError with every missing or wrong variable."""
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [
            f"{_variable(fault['loc'])}: {_reason(dict(fault))}"
            for fault in error.errors(include_input=False)
        ]
        raise ConfigurationError("\n".join(lines)) from None
    try:
        settings.keyring()
    except ConfigurationError as error:
        raise ConfigurationError(f"{_PREFIX}SECRET_KEYS: {error}") from None
    try:
        settings.accounts()
    except ValueError as error:
        raise ConfigurationError(f"{_PREFIX}UPSTREAM_ACCOUNTS: {error}") from None
    crash_points.parse(settings.crash_points)
    return settings


def _variable(location: tuple[int | str, ...]) -> str:
    return _PREFIX + str(location[0]).upper() if location else _PREFIX + "*"


def _reason(fault: dict[str, Any]) -> str:
    return "is not set" if fault["type"] == "missing" else str(fault["msg"]).removeprefix("Value error, ")

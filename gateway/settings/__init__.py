"""All environment variables of the service: name, type, unit and default.

A field is named like its variable, in lower case and without `GATEWAY_`. A wrong value or a misspelt name
stops the process at startup with an error that names the variable (`load`). Each part of the service has its
own module; values derived from several of them are here.
"""

from __future__ import annotations

import os
from typing import Any, Final

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from gateway import crash_points, variables
from gateway.dispatch import CallbackLimits, FailoverLimits, HealthLimits, Role, RoleLimits
from gateway.errors import ConfigurationError
from gateway.generation import Limits
from gateway.jobs import Deadlines
from gateway.keyring import Keyring
from gateway.media.links import MediaLinks
from gateway.settings.callbacks import CallbackSettings
from gateway.settings.deliveries import DeliverySettings
from gateway.settings.edge import EdgeSettings
from gateway.settings.intake import IntakeSettings
from gateway.settings.mirror import MirrorSettings
from gateway.settings.money import MoneySettings
from gateway.settings.process import ProcessSettings
from gateway.settings.upstream import UpstreamSettings
from gateway.variables import FILE

_PREFIX: Final = "GATEWAY_"
_MAX_PAUSE_FACTOR: Final = 30  # times the first pause
_RETRY_SHARE: Final = 0.75  # of the slots for webhooks and copies: first attempts always get some


class Settings(
    DeliverySettings,
    IntakeSettings,
    CallbackSettings,
    UpstreamSettings,
    MirrorSettings,
    MoneySettings,
    EdgeSettings,
    ProcessSettings,
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
            links=self.media_links(),
        )

    def media_links(self) -> MediaLinks:
        bases = dict.fromkeys(base for base in (self.client_url, self.public_url) if base)
        return MediaLinks(self.keyring(), tuple(bases))

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
                failover=FailoverLimits(
                    int(self.failover_hold_seconds * 1000), self.durability in ("replicated", "managed")
                ),
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
            Role.MIRROR: RoleLimits(
                self.mirror_slots, self.mirror_tenant_slots, lease, retry_share=_RETRY_SHARE
            ),
        }


#: Fields that are secret. Their variables may also name a file, with `_FILE`.
SECRETS: Final = tuple(
    name
    for name, field in Settings.model_fields.items()
    if "Secret" in str(field.annotation) or not field.repr
)


def load() -> Settings:
    """This process's settings. Raises ConfigurationError with each missing, wrong or misspelt variable."""
    secrets, faults = _secrets()
    faults |= _misspelt()
    try:
        settings = Settings(**secrets)
    except ValidationError as error:
        for one in error.errors(include_input=False):
            name = _variable(str(one["loc"][0]))
            faults.setdefault(name, f"{_origin(name)}: {_reason(name, dict(one))}")
        raise ConfigurationError("\n".join(faults.values())) from None
    if faults:
        raise ConfigurationError("\n".join(faults.values()))
    try:
        settings.keyring()
    except ConfigurationError as error:
        raise ConfigurationError(f"{_origin(f'{_PREFIX}SECRET_KEYS')}: {error}") from None
    try:
        settings.accounts()
    except ValueError as error:
        raise ConfigurationError(f"{_origin(f'{_PREFIX}UPSTREAM_ACCOUNTS')}: {error}") from None
    try:
        settings.media_location()
    except ValueError as error:
        raise ConfigurationError(f"{_PREFIX}MEDIA_URL: {error}") from None
    crash_points.parse(settings.crash_points)
    return settings


def unknown_variables() -> list[str]:
    """Names that look like settings and are none: another release may know them, or a cluster sets them."""
    ours = {name.upper() for name in os.environ if name.upper().startswith(_PREFIX)}
    return sorted(ours - _known_variables())


def warn_of_unknown_variables() -> None:
    """Log their names, if there are any; never their values."""
    if names := unknown_variables():
        structlog.get_logger().warning("unknown_variables", variables=names)


def _known_variables() -> set[str]:
    return {_variable(name) for name in Settings.model_fields} | {_variable(name) + FILE for name in SECRETS}


def _secrets() -> tuple[dict[str, Any], dict[str, str]]:
    """The secrets that are in files, by field; and what is wrong, by variable."""
    found, faults = dict[str, Any](), dict[str, str]()
    for name in SECRETS:
        variable = _variable(name)
        try:
            if os.environ.get(variable + FILE):
                found[name] = variables.secret(variable, os.environ.get(variable, ""))
        except ConfigurationError as error:
            faults[variable] = str(error)
    return found, faults


def _misspelt() -> dict[str, str]:
    """What is wrong with unknown variables that are close to a setting, by variable."""
    known = _known_variables()
    faults = {}
    for name in unknown_variables():
        if name.removesuffix(FILE) in known:
            faults[name] = f"{name}: only a secret can be in a file; set {name.removesuffix(FILE)}"
        elif meant := variables.meant(name, known):
            faults[name] = f"{name}: is not a setting; did you mean {meant}?"
    return faults


def _variable(field: str) -> str:
    return _PREFIX + field.upper()


def _origin(variable: str) -> str:
    """The variable, and where its value comes from if that is a file."""
    return f"{variable} (from {variable}{FILE})" if os.environ.get(variable + FILE) else variable


def _reason(variable: str, fault: dict[str, Any]) -> str:
    if fault["type"] != "missing":
        return str(fault["msg"]).removeprefix("Value error, ")
    return f"is not set; set it, or set {variable}{FILE} to the path of a file that holds it"

"""Every environment variable of the service, once: its name, type, unit and default.

The name of a field is the variable's, in lower case and without `GATEWAY_`. A wrong value stops the
process at start, with the variable named (`load`).
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway import crash_points
from gateway.backoff import DELIVERY_SCHEDULE
from gateway.dispatch import HealthLimits, Role, RoleLimits
from gateway.errors import ConfigurationError
from gateway.generation import Limits
from gateway.jobs import Deadlines
from gateway.keyring import Keyring
from gateway.lifecycle import OnUnknown
from gateway.store.base import CallbackLimits

_PREFIX = "GATEWAY_"
_LONGEST_PARK = 30  # times the first
_AGAIN_SHARE = 0.75  # of the deliveries at once: first attempts are never kept waiting by retries alone


def _networks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    for part in parts:
        ip_network(part)
    return parts


def _words(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _or_none(value: Any) -> Any:
    return value or None


def _base_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


def _redis_url(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must start with redis://, rediss:// or unix://")
    return value


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True)

    # -- where things are
    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "redis://127.0.0.1:6379/0", repr=False, description="Redis or Valkey: redis://, rediss:// or unix://"
    )
    redis_timeout_seconds: Seconds = Field(
        0.8, description="for one answer of Redis; the gateway says 503 then, workers ask again"
    )
    host: str = Field("127.0.0.1", description="address that the gateway listens on")
    port: int = Field(8080, ge=1, le=65535, description="port that the gateway listens on")
    public_url: BaseUrl = Field(
        "", description="base of the callback_url that the upstream gets; empty: no callbacks, polling alone"
    )
    blob_dir: Path = Field(Path("blobs"), description="folder of inline media, shared by gateway and workers")
    secret_keys: SecretStr = Field(
        description="keyring `kid:base64,...`, first one active: callback tokens and webhook secrets"
    )
    durability: Literal["require", "assume"] = Field(
        "require", description="assume: start although Redis does not look durable"
    )

    # -- upstream
    upstream_dialect: Literal["vtrix", "vidu"] = Field("vtrix", description="the upstream's wire format")
    upstream_url: BaseUrl = Field("", description="base URL of the upstream; empty: the dialect's own")
    upstream_key: SecretStr = Field(min_length=1, description="API key of the upstream")
    upstream_slots: int = Field(5, ge=1, description="tasks at the upstream at once")
    upstream_tenant_slots: int = Field(5, ge=1, description="of which one tenant may hold")
    upstream_timeout_seconds: Seconds = Field(60, description="for the answer to a submission")
    upstream_query_seconds: Seconds = Field(10, description="for the answer to a look at a task")
    off_peak: bool = Field(False, description="accept off_peak=true")
    queries_per_second: float = Field(50, ge=0, description="looks at tasks, in all; 0: no limit")
    poll_first_seconds: Seconds = Field(
        30, description="from the submission to the first poll, until typical durations are learned"
    )
    poll_min_seconds: Seconds = Field(10, description="between polls, at first")
    poll_max_seconds: Seconds = Field(60, description="between polls, at most")
    busy_retry_seconds: Seconds = Field(2, description="base of the back-off when the upstream is busy")
    account_retry_seconds: Seconds = Field(
        30, description="between probes of an account that the upstream refused (401, 402, 403)"
    )
    unknown_grace_seconds: Seconds = Field(1800, description="how long an unknown outcome waits for evidence")
    on_unknown: OnUnknown = Field(
        OnUnknown.HOLD, description="then: hold (fail, never pay twice), resubmit or manual"
    )
    resubmit_max: int = Field(1, ge=0, description="resubmissions of one job, under resubmit")
    resubmit_day_budget: int = Field(10, ge=0, description="resubmissions of one tenant in a day (UTC)")
    job_deadline_seconds: Seconds = Field(
        7200, description="from the submission to giving up on the upstream"
    )
    off_peak_deadline_seconds: Seconds = Field(180_000, description="the same for off_peak jobs")
    late_watch_seconds: float = Field(
        86_400, ge=0, description="how long a job that we gave up is watched for a late result"
    )
    poison_limit: int = Field(10, ge=1, description="workers that may die with a job before it fails")

    # -- callbacks
    callback_trust: Literal["confirm", "body"] = Field(
        "confirm", description="body: believe a callback's own result when the task cannot be looked at"
    )
    result_hosts: Annotated[list[str], NoDecode, BeforeValidator(_words)] = Field(
        default_factory=list, description="hosts of results that are believed from a callback's body"
    )
    callback_signature: Literal["off", "optional", "required"] = Field(
        "off", description="whether the vidu signature of callbacks is verified"
    )
    callback_signature_key: Annotated[SecretStr | None, BeforeValidator(_or_none)] = Field(
        None,
        description="API key that made the tasks, with which callbacks are signed; empty: the upstream's",
    )
    callback_journal_dir: Annotated[Path | None, BeforeValidator(_or_none)] = Field(
        None, description="folder that keeps callbacks while Redis is away; empty: they are answered 503"
    )
    claim_wait_seconds: Seconds = Field(
        30,
        description="how long a task that only a callback named waits for word to the contrary before its "
        "result is believed",
    )
    callback_gap_seconds: Seconds = Field(
        90, description="the way by which callbacks come counts as open for so long after it was last proven"
    )

    # -- intake
    body_max_bytes: int = Field(20_000_000, ge=1024, description="largest request body")
    body_timeout_seconds: Seconds = Field(60, description="for a whole request body to arrive")
    streams_max: int = Field(
        1000, ge=1, description="event streams of one tenant that one gateway process holds open"
    )
    tenant_queue_max: int = Field(100_000, ge=1, description="jobs of one tenant that may wait")
    tenant_bytes_max: int = Field(
        268_435_456, ge=1_000_000, description="bytes that one tenant's jobs take in Redis at most"
    )
    start_deadline_seconds: Seconds = Field(
        86_400, description="from acceptance to giving up a job that was not paid for"
    )
    total_deadline_seconds: Seconds = Field(
        93_600, description="from acceptance to giving up; off_peak jobs get theirs on top"
    )
    memory_watermark: float = Field(
        0.85, gt=0, le=1, description="share of Redis' maxmemory above which no new job is accepted"
    )
    retention_seconds: Seconds = Field(
        604_800, description="how long a finished job, its events and its idempotency key are kept"
    )
    prompt_max_characters: int = Field(5000, ge=1, le=5000, description="longest prompt")
    payload_max_characters: int = Field(1_048_576, ge=1, le=1_048_576, description="longest payload")
    allow_private_media_urls: bool = Field(False, description="accept media URLs on private addresses")

    # -- deliveries
    delivery_networks: Annotated[list[str], NoDecode, BeforeValidator(_networks)] = Field(
        default_factory=list, description="networks (CIDR, comma-separated) that webhooks may go to"
    )
    delivery_public: bool = Field(False, description="webhooks may go to public addresses too")
    delivery_allow_http: bool = Field(
        False, description="public addresses may be sent to over http too; allowed networks always may"
    )
    delivery_ports: Annotated[
        list[Annotated[int, Field(ge=1, le=65535)]], NoDecode, BeforeValidator(_words)
    ] = Field(
        default_factory=list,
        description="ports that webhooks may go to; empty: all but those of well-known services that are no "
        "web servers",
    )
    delivery_slots: int = Field(100, ge=1, description="deliveries at once")
    delivery_endpoint_slots: int = Field(8, ge=1, description="of which one endpoint may hold")
    delivery_tenant_slots: int = Field(50, ge=1, description="of which one tenant may hold")
    delivery_timeout_seconds: Seconds = Field(15, description="for one attempt, in all")
    delivery_schedule_seconds: Annotated[list[Seconds], NoDecode, BeforeValidator(_words)] = Field(
        default_factory=lambda: list(DELIVERY_SCHEDULE),
        description="before the 2nd, 3rd, ... attempt; after the last one a delivery is dead",
    )
    delivery_until_seconds: Seconds = Field(
        259_200,
        description="how long after its event, or after it was sent again, a delivery is tried by itself",
    )
    delivery_park_seconds: Seconds = Field(
        30,
        description="how long a subscriber is left alone when most attempts fail; up to 30 times as long "
        "when it goes on",
    )
    delivery_overload_seconds: float = Field(
        60, ge=0, description="least wait after a time-out, 429 or 503 of a subscriber"
    )

    # -- workers
    lease_seconds: Seconds = Field(15, description="a worker that is silent for longer has lost its work")
    confirm_slots: int = Field(20, ge=1, description="GETs to the upstream at once")

    crash_points: str = Field(
        "",
        description="fault tests only: `name:n:kill`, `name:n:freeze=seconds` or `name:n:lose_reply`",
    )

    # -- telemetry
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["json", "console"] = Field(
        "json", description="one JSON object a line, or for people"
    )

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
        """Seconds from a submission to giving up on the upstream."""
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
        look = int(self.upstream_query_seconds * 1000) + lease
        attempt = int(self.delivery_timeout_seconds * 1000) + lease
        park = int(self.delivery_park_seconds * 1000)
        return {
            Role.SUBMIT: RoleLimits(
                self.upstream_slots,
                self.upstream_tenant_slots,
                lease,
                probe_ms=int(self.account_retry_seconds * 1000),
            ),
            Role.CONFIRM: RoleLimits(self.confirm_slots, self.confirm_slots, look, self.queries_per_second),
            Role.DELIVER: RoleLimits(
                self.delivery_slots,
                self.delivery_endpoint_slots,
                attempt,
                again_share=_AGAIN_SHARE,
                tenant_slots=self.delivery_tenant_slots,
                health=HealthLimits(park_ms=park, park_most_ms=_LONGEST_PARK * park),
            ),
        }


def load() -> Settings:
    """The settings of this process. ConfigurationError names every variable that is missing or wrong."""
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
    crash_points.read(settings.crash_points)
    return settings


def _variable(location: tuple[int | str, ...]) -> str:
    return _PREFIX + str(location[0]).upper() if location else _PREFIX + "*"


def _reason(fault: dict[str, Any]) -> str:
    return "is not set" if fault["type"] == "missing" else str(fault["msg"]).removeprefix("Value error, ")

"""Settings of the upstream: accounts, timeouts, polls, deadlines and the policy for unknown outcomes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from gateway.dispatch import ACCOUNT, AccountLimits
from gateway.lifecycle import OnUnknown
from gateway.settings.accounts import UpstreamAccount, parse
from gateway.settings.types import BaseUrl, Seconds
from gateway.upstream import proxy


def _proxy(value: SecretStr) -> SecretStr:
    proxy.parse(value)
    return value


class UpstreamSettings(BaseSettings):
    upstream_dialect: Literal["vtrix", "vidu"] = Field(
        "vtrix", description="Wire format of the upstream: `vtrix` or `vidu`."
    )
    upstream_url: BaseUrl = Field("", description="Base URL of the upstream. Empty: the dialect's own.")
    upstream_proxy: Annotated[SecretStr, AfterValidator(_proxy)] = Field(
        SecretStr(""),
        description="HTTP proxy (`http://[user:password@]host:port`) for calls to the upstream.",
    )
    upstream_key: SecretStr = Field(min_length=1, description="API key of the upstream, for account `main`.")
    upstream_slots: int = Field(
        5, ge=1, description="Tasks that account `main` may have at the upstream at once."
    )
    upstream_weight: int = Field(
        1, ge=1, le=100, description="Share of account `main` when there are several accounts."
    )
    upstream_rate: float = Field(
        0, ge=0, allow_inf_nan=False, description="Submissions per second with account `main`. 0: no limit."
    )
    upstream_accounts: SecretStr = Field(
        SecretStr(""),
        description="More accounts: JSON list of name, key, weight, slots, rate, or its path.",
    )
    upstream_tenant_slots: int = Field(
        5, ge=1, description="Tasks that one tenant may have at the upstream at once."
    )
    upstream_timeout_seconds: Seconds = Field(
        60, description="Timeout of a submission; after it the outcome is unknown."
    )
    upstream_query_seconds: Seconds = Field(10, description="Timeout of a poll.")
    off_peak: bool = Field(False, description="Accept jobs with off_peak=true.")
    queries_per_second: float = Field(
        50, ge=0, description="Polls per second, over all workers. 0: no limit."
    )
    poll_first_seconds: Seconds = Field(
        30, description="From submission to first poll, until typical durations are known."
    )
    poll_min_seconds: Seconds = Field(10, description="Interval between polls, at first.")
    poll_max_seconds: Seconds = Field(60, description="Interval between polls, at most.")
    busy_retry_seconds: Seconds = Field(2, description="Base of the back-off when the upstream is busy.")
    account_retry_seconds: Seconds = Field(
        30, description="Interval of probes after the upstream refused an account (401, 402, 403)."
    )
    unknown_grace_seconds: Seconds = Field(
        1800, description="How long an unknown outcome waits for evidence."
    )
    on_unknown: OnUnknown = Field(
        OnUnknown.HOLD, description="After that: `hold` (fail, never pay twice), `resubmit` or `manual`."
    )
    resubmit_max: int = Field(1, ge=0, description="Resubmissions of one job, under `resubmit`.")
    resubmit_day_budget: int = Field(10, ge=0, description="Resubmissions per tenant and day (UTC).")
    job_deadline_seconds: Seconds = Field(
        7200, description="From submission until we give up on the upstream."
    )
    off_peak_deadline_seconds: Seconds = Field(180_000, description="The same for jobs with off_peak=true.")
    late_watch_seconds: float = Field(
        86_400, ge=0, description="How long a job we gave up is still polled for a late result."
    )
    poison_limit: int = Field(
        10, ge=1, description="Workers that may die with an unpaid job before it fails."
    )

    def proxy(self) -> proxy.Proxy | None:
        return proxy.parse(self.upstream_proxy)

    def accounts(self) -> tuple[UpstreamAccount, ...]:
        """All accounts, `main` first. Raises ValueError as `accounts.parse` does."""
        limits = AccountLimits(ACCOUNT, self.upstream_slots, self.upstream_weight, self.upstream_rate)
        main = UpstreamAccount(limits, self.upstream_key)
        return parse(self.upstream_accounts.get_secret_value(), main)

    def account_key(self, name: str) -> SecretStr:
        """The account's API key; the key of `main` if the account is no longer configured."""
        return {one.limits.name: one.key for one in self.accounts()}.get(name, self.upstream_key)

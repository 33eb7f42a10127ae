"""The upstream, and how long it is waited for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from gateway.dispatch import ACCOUNT, AccountLimits
from gateway.lifecycle import OnUnknown
from gateway.settings.accounts import UpstreamAccount, parse
from gateway.settings.types import BaseUrl, Seconds


class UpstreamSettings(BaseSettings):
    upstream_dialect: Literal["vtrix", "vidu"] = Field("vtrix", description="the upstream's wire format")
    upstream_url: BaseUrl = Field("", description="base URL of the upstream; empty: the dialect's own")
    upstream_key: SecretStr = Field(min_length=1, description="API key of the upstream")
    upstream_slots: int = Field(5, ge=1, description="tasks at the upstream at once, of account main")
    upstream_weight: int = Field(1, ge=1, le=100, description="share of account main, if there are more")
    upstream_rate: float = Field(
        0, ge=0, allow_inf_nan=False, description="submissions in a second, of account main; 0: any number"
    )
    upstream_accounts: SecretStr = Field(
        SecretStr(""),
        description="further accounts: a JSON list of name, key, weight, slots and rate, or a file of that",
    )
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

    def accounts(self) -> tuple[UpstreamAccount, ...]:
        """`main` first. ValueError as of `accounts.parse`."""
        limits = AccountLimits(ACCOUNT, self.upstream_slots, self.upstream_weight, self.upstream_rate)
        main = UpstreamAccount(limits, self.upstream_key)
        return parse(self.upstream_accounts.get_secret_value(), main)

    def account_key(self, name: str) -> SecretStr:
        """The account's API key; of one that is not known any more, that of `main`."""
        return {one.limits.name: one.key for one in self.accounts()}.get(name, self.upstream_key)

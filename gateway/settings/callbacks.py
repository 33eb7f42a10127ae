"""Callbacks of the upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode

from gateway.settings.types import Seconds, or_none, words


class CallbackSettings(BaseSettings):
    callback_trust: Literal["confirm", "body"] = Field(
        "confirm", description="body: believe a callback's own result when the task cannot be looked at"
    )
    result_hosts: Annotated[list[str], NoDecode, BeforeValidator(words)] = Field(
        default_factory=list, description="hosts of results that are believed from a callback's body"
    )
    callback_signature: Literal["off", "optional", "required"] = Field(
        "off", description="whether the vidu signature of callbacks is verified"
    )
    callback_signature_key: Annotated[SecretStr | None, BeforeValidator(or_none)] = Field(
        None,
        description="API key that made the tasks, with which callbacks are signed; empty: the upstream's",
    )
    callback_journal_dir: Annotated[Path | None, BeforeValidator(or_none)] = Field(
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

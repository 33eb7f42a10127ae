"""Settings of callbacks from the upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode

from gateway.settings.types import Seconds, or_none, words


class CallbackSettings(BaseSettings):
    callback_trust: Literal["confirm", "body"] = Field(
        "confirm", description="`body`: trust a callback's own result when the task cannot be polled."
    )
    result_hosts: Annotated[list[str], NoDecode, BeforeValidator(words)] = Field(
        default_factory=list, description="Hosts of results that are trusted in a callback's body."
    )
    callback_signature: Literal["off", "optional", "required"] = Field(
        "off", description="Check of the vidu signature: `off`, `optional` or `required`."
    )
    callback_signature_key: Annotated[SecretStr | None, BeforeValidator(or_none)] = Field(
        None,
        description="API key that callbacks are signed with. Empty: the upstream key.",
    )
    callback_journal_dir: Annotated[Path | None, BeforeValidator(or_none)] = Field(
        None, description="Folder that keeps callbacks while Redis is down. Empty: they get a 503."
    )
    claim_wait_seconds: Seconds = Field(
        30,
        description="Wait before we trust a task that only a callback named, if in doubt.",
    )
    callback_gap_seconds: Seconds = Field(
        90, description="How long the callback path counts as open after its last proof."
    )

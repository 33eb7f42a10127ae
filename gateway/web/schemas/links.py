"""Schemas of signed links to the files of a result."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gateway.assets import Variant
from gateway.web.schemas.jobs import Timestamp
from gateway.web.schemas.shape import shape

MAX_SECONDS: Final = 604_800
_SECONDS: Final = 3600


class LinkRequest(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    variant: Variant = Field(default=Variant.VIDEO, description="Which file of the result.")
    seconds: int = Field(default=_SECONDS, ge=1, le=MAX_SECONDS, description="How long the link works.")


@shape
class Link(TypedDict):
    """An address that needs no key."""

    object: Literal["link"]
    url: str
    """Whoever has it can fetch the file until it expires. It cannot be revoked: treat it as a password."""
    variant: Variant
    expires_at: Timestamp
    """When it expires: earlier than you asked, if our copy of the file is deleted before."""

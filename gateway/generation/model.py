"""The published parameters as one model: type, default and limit of each. It is also the OpenAPI schema.

This module has only the rules about a single value. The other rules are in `gateway.generation.rules`, the
error messages in `gateway.generation.messages`. `gateway.generation.parse` runs all three.

`videos: null` means no videos, like `[]`. Any other null is refused: the published documentation gives it no
meaning for other parameters, and treating it as "absent" would hide a client's mistake. Our own limits,
beyond the documentation: the length of URLs and of meta_data, so that a job stays small, and the range of
seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from gateway.generation.media import MAX_URL_CHARACTERS, InlineMedia, UploadUse

PUBLISHED_MODELS = ("viduq2_pro_reference",)


def _whole(value: object) -> object:
    """JSON has one kind of number: 5.0 is the integer 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _not_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("string_type", "null is not a string")
    return value


def _never_null(schema: JsonDict) -> None:
    """Removes null from the schema: None is our "not given", and a client must not send it."""
    choices = schema.pop("anyOf")
    assert isinstance(choices, list)
    schema.update(next(choice for choice in choices if isinstance(choice, dict)))
    del schema["default"]


# `Field` must come before the validator, or the limits disappear from the JSON schema.
Seconds = Annotated[int, Field(ge=0, le=10), BeforeValidator(_whole)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(_whole)]
Corner = Annotated[int, Field(ge=1, le=4), BeforeValidator(_whole)]
OptionalText = Annotated[str | None, BeforeValidator(_not_null)]
# Wide enough for every reference that is taken, and narrow enough to be worth checking.
_REFERENCE = (
    r"^([hH][tT][tT][pP][sS]?://|[dD][aA][tT][aA]:[^,]*; *[bB][aA][sS][eE]64,|upl_[0-9A-HJKMNP-TV-Z]{26}$)"
)
MediaReference = Annotated[str, Field(json_schema_extra={"pattern": _REFERENCE})]


class GenerationRequest(BaseModel):
    """Video generation from reference images and clips (Vidu Q2 Pro, "reference to video").

    The parameters are flat in the body. The upstream's own form,
    `{"model": ..., "input": [{"params": {...}}]}` with exactly one element, is accepted as well.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "if": {"required": ["videos"], "properties": {"videos": {"type": "array", "minItems": 1}}},
            "then": {"properties": {"images": {"maxItems": 4}}},
            "examples": [
                {
                    "model": "viduq2_pro_reference",
                    "images": ["https://cdn.example.com/hero.png"],
                    "prompt": "The hero walks along the shore at dusk",
                    "duration": 5,
                }
            ],
        },
    )

    model: str = Field(description="The model.", json_schema_extra={"enum": list(PUBLISHED_MODELS)})
    images: list[MediaReference] = Field(
        min_length=1,
        max_length=7,
        repr=False,
        description="1 to 7 reference images, or 1 to 4 together with a video: public URLs, ids of "
        "uploads (`upl_...`), or data URIs such as `data:image/png;base64,...`. png, jpeg, jpg or webp; at "
        "least 128x128; aspect ratio from 1:4 to 4:1. An image that is given as a URL is not fetched here, "
        "so its type and size are not checked. All data URIs of a job may have about 14.9 MB together "
        "before Base64.",
    )
    videos: list[MediaReference] | None = Field(
        default=None,
        max_length=2,
        repr=False,
        description="One reference clip of up to 8 s, or two of up to 5 s: public URLs, ids of uploads "
        "(`upl_...`), or data URIs such as `data:video/mp4;base64,...`. mp4, mov or avi; at least 128x128; "
        "aspect ratio from 1:4 to 4:1. A clip that is given as a URL is not fetched here, so its type, "
        "length and size are not checked.",
    )
    prompt: str = Field(
        min_length=1,
        max_length=5000,
        repr=False,
        description="What the video shows. Not blank.",
        json_schema_extra={"pattern": r"\S"},
    )
    bgm: bool = Field(default=False, description="Add background music. No effect when duration is 9 or 10.")
    duration: Seconds = Field(default=5, description="Length in seconds; 0 lets the model choose.")
    seed: Seed = Field(default=0, description="0, or no value: random.")
    aspect_ratio: Literal["16:9", "9:16", "4:3", "3:4", "1:1"] = Field(default="16:9", description="Shape.")
    resolution: Literal["540p", "720p", "1080p"] = Field(default="720p", description="Size.")
    payload: OptionalText = Field(
        default=None,
        max_length=1_048_576,
        repr=False,
        description="Your own text: returned unchanged with the job and in its events.",
        json_schema_extra=_never_null,
    )
    off_peak: bool = Field(
        default=False,
        description="Cheaper, finished within 48 hours. Temporarily unavailable: true is refused unless the "
        "operator enabled it.",
    )
    watermark: bool = Field(
        default=False,
        description="Mark the video as AI-generated. `url` is still the video without the mark; "
        "`watermarked_url` is the marked one.",
    )
    wm_position: Corner = Field(
        default=3,
        description="Where the watermark goes: 1 top-left, 2 top-right, 3 bottom-right, 4 bottom-left.",
    )
    wm_url: OptionalText = Field(
        default=None,
        max_length=MAX_URL_CHARACTERS,
        repr=False,
        description="URL of an image to use as the watermark. Without it, the default watermark is used.",
        json_schema_extra=_never_null,
    )
    meta_data: OptionalText = Field(
        default=None,
        max_length=65_536,
        repr=False,
        description="Metadata identifier: JSON, encoded as a string.",
        json_schema_extra=_never_null,
    )
    callback_url: OptionalText = Field(
        default=None,
        max_length=2048,
        repr=False,
        description="Your URL. The job's final event is sent to it, signed with your tenant's secret.",
        json_schema_extra=_never_null,
    )

    _inline: tuple[InlineMedia, ...] = PrivateAttr(default=())
    _uploads: tuple[UploadUse, ...] = PrivateAttr(default=())

    @property
    def inline_media(self) -> tuple[InlineMedia, ...]:
        """The files that were sent inside the request, decoded. Clips are not inspected yet."""
        return self._inline

    @property
    def uploads(self) -> tuple[UploadUse, ...]:
        """The uploads that the request names. Nobody has looked for them yet."""
        return self._uploads

    def attach_media(self, inline: Sequence[InlineMedia], uploads: Sequence[UploadUse]) -> None:
        """Stores the decoded files, and the uploads, with the request. Only `parse` calls this, after it
        checked them."""
        self._inline, self._uploads = tuple(inline), tuple(uploads)

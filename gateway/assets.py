"""The assets of a job: the files of its result, and what became of our copy of each.

The upstream's addresses die after hours. A worker copies each file into the media store before that; clients
fetch it at the stable address `/v1/jobs/{id}/content?variant=...`, which serves the copy, or else redirects
to the upstream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

import orjson

#: A field of the job's record starts with it; the rest is the variant.
FIELD: Final = "asset:"
#: The folder of the copies in the media store: `results/<job id>/<variant>.<extension>`.
FOLDER: Final = "results"
#: How long the upstream's addresses are taken to live: the shortest known time. Its documentation is silent.
RESULT_LIFE_MS: Final = 3_600_000
#: `reason` of a file that its owner deleted. Its address does not lead to the upstream either.
DELETED: Final = "deleted_by_owner"


class Variant(StrEnum):
    """The files of one result."""

    VIDEO = "video"
    WATERMARKED = "watermarked"
    COVER = "cover"


class Reason(StrEnum):
    """Why an address was not copied. Clients, logs and metrics show these words."""

    TOO_LARGE = "too_large"  #: more bytes than `GATEWAY_MIRROR_MAX_BYTES`
    EMPTY = "empty"  #: 0 bytes
    NOT_A_VIDEO = "not_a_video"  #: for example a page of HTML, sent with a 200
    NOT_A_PICTURE = "not_a_picture"  #: the same for a cover
    WRONG_LENGTH = "wrong_length"  #: it ended before its declared length, or in the middle of a box
    ADDRESS_REFUSED = "address_refused"  #: it is not public, or redirects to one that is not
    REDIRECTS = "redirects"  #: more redirects than are followed
    GONE = "gone"  #: 401, 403, 404 or 410, and the task shows no other address
    HTTP_STATUS = "http_status"  #: another status than 200
    UNREACHABLE = "unreachable"  #: no connection, or it broke
    TOO_SLOW = "too_slow"  #: it stalled, or did not end in time
    MEDIA_AWAY = "media_away"  #: our media store cannot be written, its disk is full, or we are overloaded
    TENANT_FULL = "tenant_full"  #: the tenant's copies take all the bytes that they may
    NO_VIDEO = "no_video"  #: of a cover that is made from the video: there is no copy of the video
    NO_FRAME = "no_frame"  #: no picture could be made from the video


#: What only the tenant or the upstream can mend. No operator is called for it.
NOT_OURS: Final = frozenset(
    (
        *(Reason.TENANT_FULL, Reason.GONE, Reason.HTTP_STATUS, Reason.EMPTY, Reason.WRONG_LENGTH),
        *(Reason.NOT_A_VIDEO, Reason.NOT_A_PICTURE),
    )
)


class AssetState(StrEnum):
    PENDING = "pending"  #: to be copied, at once or again
    STORED = "stored"  #: our copy can be fetched
    FAILED = "failed"  #: given up; `reason` says why
    EXPIRED = "expired"  #: our copy was deleted, after its time or by its owner


@dataclass(frozen=True, slots=True)
class Asset:
    """`url`: the upstream's address; None for a cover that we make ourselves. `dies_at`: when that address is
    taken to be dead. `expires_at`: when our copy is deleted. Times are milliseconds since the epoch. `tries`:
    attempts to copy it so far; `gone`: those of them that found the address gone; `reason`: why the newest
    of them failed. `key`: of our copy in the media store; `size`: its bytes."""

    state: AssetState
    url: str | None = None
    dies_at: int | None = None
    tries: int = 0
    key: str | None = None
    size: int | None = None
    sha256: str | None = None
    media_type: str | None = None
    expires_at: int | None = None
    reason: str | None = None
    gone: int | None = None

    def dump(self) -> bytes:
        """As it is stored: JSON without what is None."""
        return orjson.dumps({name: value for name, value in asdict(self).items() if value is not None})


def without_copy(asset: Asset, *, by_owner: bool = False) -> Asset:
    """The asset after our copy was deleted; it keeps nothing of the copy. `by_owner`: because its owner asked
    for that. Then it keeps nothing that leads to the file."""
    after = replace(asset, state=AssetState.EXPIRED, key=None, size=None, sha256=None, reason=None)
    return replace(after, url=None, reason=DELETED) if by_owner else after


def load(text: str | bytes) -> Asset:
    """Reads a stored asset. Raises ValueError, KeyError or TypeError if it is unreadable."""
    found: dict[str, Any] = orjson.loads(text)
    return Asset(AssetState(found.pop("state")), **found)


def addresses(output: Sequence[Any] | None) -> dict[Variant, str]:
    """The upstream's address of each variant: those of the first item of a result that has a video."""
    contents = [item for group in output or () for item in group.get("content", ()) if item.get("url")]
    if not contents:
        return {}
    names = {Variant.VIDEO: "url", Variant.WATERMARKED: "watermarked_url", Variant.COVER: "cover_url"}
    return {variant: contents[0][name] for variant, name in names.items() if contents[0].get(name)}

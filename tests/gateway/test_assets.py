from __future__ import annotations

import pytest

from gateway.assets import DELETED, Asset, AssetState, Variant, addresses, load, without_copy


def test_an_asset_is_read_as_it_was_stored() -> None:
    stored = Asset(
        AssetState.STORED, "https://up/v.mp4", 5, 1, "results/job_1/v.mp4", 7, "ab", "video/mp4", 9
    )
    assert load(stored.dump()) == stored
    assert load(Asset(AssetState.PENDING).dump()) == Asset(AssetState.PENDING)


@pytest.mark.parametrize("by_owner", [True, False])
def test_an_expired_asset_keeps_nothing_of_the_copy_and_its_address_only_if_that_may_be_shown(
    by_owner: bool,
) -> None:
    stored = Asset(
        AssetState.STORED, "https://up/v.mp4", 5, 1, "results/job_1/v.mp4", 7, "ab", "video/mp4", 9
    )
    after = without_copy(stored, by_owner=by_owner)
    assert (after.state, after.key, after.size, after.sha256) == (AssetState.EXPIRED, None, None, None)
    wanted = (None, DELETED) if by_owner else ("https://up/v.mp4", None)
    assert (after.url, after.reason) == wanted


def test_what_is_none_is_not_stored() -> None:
    assert Asset(AssetState.PENDING, "https://up/v.mp4").dump() == (
        b'{"state":"pending","url":"https://up/v.mp4","tries":0}'
    )


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (None, {}),
        ([], {}),
        ([{"content": [{"type": "video"}]}], {}),
        (
            [{"content": [{"url": "v", "watermarked_url": "w", "cover_url": "c"}, {"url": "second"}]}],
            {Variant.VIDEO: "v", Variant.WATERMARKED: "w", Variant.COVER: "c"},
        ),
        (
            [{"content": [{"type": "text"}]}, {"content": [{"url": "v", "cover_url": None}]}],
            {Variant.VIDEO: "v"},
        ),
    ],
)
def test_the_addresses_are_those_of_the_first_video(output: object, found: dict[Variant, str]) -> None:
    assert addresses(output) == found  # type: ignore[arg-type]

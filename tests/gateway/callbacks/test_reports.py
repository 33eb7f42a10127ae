"""What a callback's body reports is believed only of hosts that the operator named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.callbacks.reports import read
from gateway.settings import Settings
from gateway.upstream.base import Snapshot, TaskStatus, UpstreamError

GOOD = "https://cdn.example.com/v.mp4"
DONE = Snapshot(
    "task-1",
    TaskStatus.COMPLETED,
    "completed",
    output=[{"content": [{"type": "video", "url": GOOD, "cover_url": "https://CDN.example.com/c.jpg"}]}],
    usage={"cost": "0.5"},
    metadata={"trace": "t"},
)


@pytest.fixture
def trusting(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "callback_trust": "body",
            "result_hosts": ["cdn.Example.com"],
            "allow_private_media_urls": False,
        }
    )


def with_video(**item: Any) -> Snapshot:
    return replace(DONE, output=[{"content": [{"type": "video", "url": GOOD, **item}]}])


def test_a_result_at_a_named_host_is_reported(trusting: Settings) -> None:
    assert read(trusting, DONE) == {
        "status": "completed",
        "output": DONE.output,
        "usage": {"cost": "0.5"},
        "metadata": {"trace": "t"},
        "warnings": [],
        "error": None,
    }


def test_a_failure_is_reported_with_its_reason(trusting: Settings) -> None:
    failed = Snapshot("t", TaskStatus.FAILED, "failed", error=UpstreamError("1027", "no"))
    reported = read(trusting, failed)
    assert reported is not None
    assert (reported["status"], reported["error"]) == ("failed", {"code": "1027", "message": "no"})


def test_nothing_is_reported_when_bodies_are_hints(settings: Settings, trusting: Settings) -> None:
    assert read(settings, DONE) is None
    assert read(trusting.model_copy(update={"callback_trust": "confirm"}), DONE) is None


def test_nothing_is_reported_for_a_task_that_is_running_or_cannot_be_read(trusting: Settings) -> None:
    assert read(trusting, None) is None
    assert read(trusting, replace(DONE, status=TaskStatus.IN_PROGRESS)) is None


def test_nothing_is_reported_without_named_hosts_or_without_a_result(trusting: Settings) -> None:
    assert read(trusting.model_copy(update={"result_hosts": []}), DONE) is None
    assert read(trusting, replace(DONE, output=[])) is None
    covers: list[dict[str, object]] = [
        {"content": [{"type": "video", "cover_url": GOOD, "watermarked_url": GOOD}]}
    ]
    assert read(trusting, replace(DONE, output=covers)) is None
    assert read(trusting, replace(DONE, output=[*covers, *DONE.output])) is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v.mp4",
        "https://cdn.example.com.evil.example/v.mp4",
        "https://cdn.example.com@evil.example/v.mp4",
        "https://evil.example\\@cdn.example.com/v.mp4",
        "https://evil.example#@cdn.example.com",
        "https://sub.cdn.example.com/v.mp4",
        "http://cdn.example.com/v.mp4",
        "//evil.example/v.mp4",
        "file:///etc/passwd",
        "",
        "https://cdn.example.com/" + "v" * 2048,
    ],
)
def test_one_url_at_another_host_voids_the_report(trusting: Settings, url: str) -> None:
    assert read(trusting, with_video(url=url)) is None
    assert read(trusting, with_video(watermarked_url=url)) is None
    assert read(trusting, replace(DONE, metadata={"deep": [{"Preview_URL": url}]})) is None


def test_a_url_is_recognized_by_its_form_too(trusting: Settings) -> None:
    assert read(trusting, with_video(link=" HTTPS://evil.example/")) is None
    assert read(trusting, with_video(note="the hero walks")) is not None


def test_plain_http_is_only_allowed_with_private_media_urls(trusting: Settings) -> None:
    private = trusting.model_copy(
        update={"allow_private_media_urls": True, "result_hosts": ["127.0.0.1", "::1"]}
    )
    assert read(private, with_video(url="http://127.0.0.1:9/v.mp4")) is not None
    assert read(private, with_video(url="http://[::1]:9/v.mp4")) is not None
    assert read(trusting, with_video(url="http://127.0.0.1:9/v.mp4")) is None

"""A media store of each kind."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from gateway.media.base import MediaStore
from gateway.media.location import Bucket
from gateway.media.opening import open_store
from tests.buckets import S3Server


@pytest.fixture
def bucket(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket that the variables of this process lead to."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return Bucket(s3.new_bucket(), "a/prefix")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Bucket:
    if request.param == "folder":
        return tmp_path / "made" / "media"
    found: Bucket = request.getfixturevalue("bucket")
    return found


@pytest.fixture
def store(place: Path | Bucket) -> MediaStore:
    return open_store(place)

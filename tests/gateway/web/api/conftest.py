"""What tests of the clients' API share."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import Settings


@pytest.fixture
def settings_folder(settings: Settings) -> Path:
    """The folder of the media store."""
    return settings.blob_dir

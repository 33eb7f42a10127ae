"""The dialects by name, and what each can do."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.upstream import dialects
from gateway.upstream.base import CancelRefused, Capabilities, Later


@pytest.mark.parametrize(
    ("name", "home", "capabilities"),
    [
        ("vtrix", "https://cloud.vtrix.ai", Capabilities()),
        ("vidu", "https://api.vidu.com", Capabilities(cancel=True, listing=True)),
    ],
)
def test_a_dialect_tells_its_name_its_home_and_what_it_can(
    name: str, home: str, capabilities: Capabilities
) -> None:
    dialect = dialects.make(name)
    assert (dialect.name, dialect.home, dialect.capabilities) == (name, home, capabilities)


def test_there_is_no_other() -> None:
    with pytest.raises(ConfigurationError, match="no dialect named 'queue'"):
        dialects.make("queue")


def test_what_vtrix_cannot_do_cannot_be_asked_of_it() -> None:
    vtrix = dialects.make("vtrix")
    with pytest.raises(NotImplementedError):
        vtrix.cancel_request("t1")
    with pytest.raises(NotImplementedError):
        vtrix.list_path(0, 1, None)
    assert isinstance(vtrix.read_canceled(200, {}, b"{}"), CancelRefused)
    assert isinstance(vtrix.read_list(200, {}, b'{"tasks":[]}'), Later)

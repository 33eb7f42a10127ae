"""The dialects by name, and what each can do."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.upstream import dialects
from gateway.upstream.base import CancelRefused, Capabilities, Inconclusive


@pytest.mark.parametrize(
    ("name", "home", "capabilities"),
    [
        ("vtrix", "https://cloud.vtrix.ai", Capabilities()),
        ("vidu", "https://api.vidu.com", Capabilities(cancel=True, listing=True, marks=True)),
    ],
)
def test_a_dialect_has_a_name_a_home_and_capabilities(
    name: str, home: str, capabilities: Capabilities
) -> None:
    dialect = dialects.make(name)
    assert (dialect.name, dialect.home, dialect.capabilities) == (name, home, capabilities)


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no dialect named 'queue'"):
        dialects.make("queue")


def test_vtrix_has_no_cancel_and_no_list() -> None:
    vtrix = dialects.make("vtrix")
    with pytest.raises(NotImplementedError):
        vtrix.cancel_request("t1")
    with pytest.raises(NotImplementedError):
        vtrix.list_path(0, 1, None)
    assert isinstance(vtrix.read_canceled(200, {}, b"{}"), CancelRefused)
    assert isinstance(vtrix.read_list(200, {}, b'{"tasks":[]}'), Inconclusive)

"""What each client of another API can do with the gateway: tests prove it, docs/clients.md prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OPENAI_CLIENTS: Final = ("openai-python 3.57", "openai-node 6.49", "litellm 1.110")
YES: Final = "yes"
ABSENT: Final = "not offered"
#: {operation: the word for each of the clients}
OPENAI: Final[Mapping[str, tuple[str, str, str]]] = {
    "create with a file, poll, fetch the content": (YES, YES, YES),
    "create with `images` as URLs": (YES, YES, YES),
    "create with `input_reference` as an object": ("the library refuses it", YES, "the library refuses it"),
    "`create_and_poll`": (YES, ABSENT, ABSENT),
    "list all pages": (YES, YES, "one page"),
    "delete": (YES, YES, ABSENT),
    "list models": (YES, YES, ABSENT),
    "a failed task": (YES, YES, YES),
    "402, 404, a mismatched key (422)": (YES, YES, YES),
    "a remix is refused after one request": (YES, YES, YES),
    "an answer that was lost: one job": (YES, YES, "it raises, and does not retry"),
    "a 503 after acceptance: one job": (YES, YES, "it raises, and does not retry"),
    "429: it waits": (YES, YES, "it raises, and does not retry"),
    "`webhooks.unwrap()`": (YES, YES, ABSENT),
}


def table(clients: tuple[str, ...], works: Mapping[str, tuple[str, ...]]) -> str:
    """The table in Markdown."""
    rows = [("operation", *clients), tuple("---" for _ in range(len(clients) + 1))]
    rows += [(operation, *words) for operation, words in works.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)

"""Links a script from a verb and the pieces of the shared parts that it needs.

Redis creates every function of a script again each time that the script runs. Creating all of them would take
as long as thirty commands.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

#: By our style, a line that starts with `local` begins a new piece.
_BEGINNING: Final = re.compile(r"^(?=local )", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*$|(?<=\s)--\s.*$", re.MULTILINE)
_NAMES: Final = re.compile(r"local (?:function (?P<function>\w+)|(?P<values>[\w, ]+?) =)")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


class _Piece(NamedTuple):
    names: frozenset[str]
    text: str
    words: frozenset[str]


def compose(parts: str, verb: str) -> str:
    """The pieces of `parts` that `verb` names, directly or through other pieces, in their order; then
    `verb`."""
    pieces = _pieces(parts)
    kept: set[int] = set()
    words = set(_WORD.findall(_COMMENT.sub("", verb)))
    while more := {at for at, piece in enumerate(pieces) if at not in kept and piece.names & words}:
        kept |= more
        for at in more:
            words |= pieces[at].words
    return "".join(pieces[at].text for at in sorted(kept)) + verb


def piece_names(parts: str) -> frozenset[str]:
    """Every name that a piece of `parts` defines."""
    return frozenset().union(*(piece.names for piece in _pieces(parts)))


@cache  # all verbs use the same parts
def _pieces(parts: str) -> tuple[_Piece, ...]:
    return tuple(map(_piece, _BEGINNING.split(_COMMENT.sub("", parts))[1:]))


def _piece(text: str) -> _Piece:
    found = _NAMES.match(text)
    assert found, f"the piece {text[:40]!r} defines no name"
    names = (found["function"] or found["values"]).replace(",", " ").split()
    return _Piece(frozenset(names), text, frozenset(_WORD.findall(text)))

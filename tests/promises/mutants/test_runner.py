"""The runner of planted bugs: what counts as caught, and that a bug is planted in a copy alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promises.mutants.__main__ import judged
from tests.promises.mutants.mutants import MUTANTS
from tests.promises.mutants.trees import ROOT, Result, Tree


@pytest.mark.parametrize(
    ("status", "failed", "words", "caught"),
    [
        (1, "tests/promises/properties/test_jobs.py::test_one", "1  promises/properties", True),
        (1, "tests/promises/crashes/test_crashes.py::test_one[plain]", "2  promises/crashes", True),
        (1, "tests/workers/test_sweep.py::test_one", "U  workers/test_sweep", True),
        (1, "tests/test_docs.py::test_one", "U  test_docs", True),
        (None, "", "timeout", True),
        (0, "", "MISSED", False),
        (1, "", "BROKEN", False),
        (2, "", "BROKEN", False),
        (5, "", "BROKEN", False),
    ],
)
def test_only_a_test_that_fails_or_hangs_has_caught_a_bug(
    status: int | None, failed: str, words: str, caught: bool
) -> None:
    verdict, found = judged(Result(status, 1.0, failed, ""))
    assert verdict.startswith(words)
    assert found is caught


def test_a_bug_is_planted_in_the_copy_alone_and_taken_out_again(tmp_path: Path) -> None:
    tree, mutant = Tree(tmp_path), MUTANTS["no_gate"]
    assert tree.imports_itself()
    before = tree.plant(mutant)
    assert (tmp_path / mutant.file).read_text() == mutant.applied(ROOT) != before
    tree.write(mutant.file, before)
    assert (tmp_path / mutant.file).read_text() == (ROOT / mutant.file).read_text() == before

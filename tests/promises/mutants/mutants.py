"""All planted bugs."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.ends import ENDS
from tests.promises.mutants.evidence import EVIDENCE
from tests.promises.mutants.submission import SUBMISSION

MUTANTS: Final = {mutant.name: mutant for mutant in (*SUBMISSION, *EVIDENCE, *ENDS)}

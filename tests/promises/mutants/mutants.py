"""All planted bugs."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.archiving import ARCHIVING
from tests.promises.mutants.content import CONTENT
from tests.promises.mutants.copies import COPIES
from tests.promises.mutants.doors import DOORS
from tests.promises.mutants.ends import ENDS
from tests.promises.mutants.evidence import EVIDENCE
from tests.promises.mutants.files import FILES
from tests.promises.mutants.limits import LIMITS
from tests.promises.mutants.money import MONEY
from tests.promises.mutants.prices import PRICES
from tests.promises.mutants.reading import READING
from tests.promises.mutants.stores import STORES
from tests.promises.mutants.submission import SUBMISSION
from tests.promises.mutants.truth import TRUTH

PLANTED: Final = (
    *(*SUBMISSION, *EVIDENCE, *ENDS, *READING, *LIMITS, *TRUTH, *STORES),
    *(*DOORS, *FILES, *CONTENT, *COPIES, *ARCHIVING, *MONEY, *PRICES),
)
#: By name.
MUTANTS: Final = {mutant.name: mutant for mutant in PLANTED}

"""The child of the inspection, for the process that has imported its modules and forks it."""

from __future__ import annotations

import io
import sys
from multiprocessing.connection import Connection

from gateway.generation import media_probe


def probe(raw: bytes, extension: str, answers: Connection) -> None:
    """As `python -I media_probe.py <extension>`, with its standard output sent as one message."""
    out = io.BytesIO()
    sys.argv = ["media_probe.py", extension]
    sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(raw)), io.TextIOWrapper(out)
    media_probe.main()
    sys.stdout.flush()
    answers.send_bytes(out.getvalue())

"""Whether an mp4 or mov file is whole, as far as its outermost boxes show. Reads only their headers."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

_HEADER_BYTES: Final = 8
_LONG_BYTES: Final = 16
_TO_THE_END: Final = 0  # a size that means: up to the end of the file
_IS_LONG: Final = 1  # a size that means: the real one follows in 64 bits


def is_whole(file: BinaryIO) -> bool:
    """Whether no box ends behind the end of the file, and one of them describes the movie. Padding behind the
    last box does not matter."""
    end, at, described = file.seek(0, os.SEEK_END), 0, False
    while end - at >= _HEADER_BYTES:
        file.seek(at)
        header = file.read(_LONG_BYTES)
        size, name = int.from_bytes(header[:4], "big"), header[4:8]
        if size == _IS_LONG:
            size = int.from_bytes(header[8:], "big")
        described = described or name == b"moov"
        if size == _TO_THE_END or (size < _HEADER_BYTES and described):
            break
        if size < _HEADER_BYTES:
            return False
        at += size
    return described and at <= end

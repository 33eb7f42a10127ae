"""The child process of `gateway.generation.first_frame`: writes a clip's first frame to stdout, as a JPEG.

`python -I frame_probe.py <path> <extension>`. Every failure is an exit code other than 0, without a reason.
It runs by its path and isolated, so it must not import anything of this package.
"""

from __future__ import annotations

import contextlib
import sys
from fractions import Fraction

_EXIT_NO_FRAME = 77
_MEMORY_BYTES = 1536 * 2**20  # address space; PyAV's libraries and their threads use half of it
_CPU_SECONDS = 10
_MAX_PIXELS = 40_000_000
# The demultiplexer is forced, so that a clip cannot choose another one.
_DEMUXERS = {"mp4": "mov", "mov": "mov", "avi": "avi"}


def main() -> None:
    _limit_ourselves()
    picture = _first_frame(sys.argv[1], _DEMUXERS[sys.argv[2]])
    if picture is None:
        sys.exit(_EXIT_NO_FRAME)
    sys.stdout.buffer.write(picture)


def _limit_ourselves() -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 1))
    # macOS has this limit but refuses to set it.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _first_frame(path: str, demuxer: str) -> bytes | None:
    import av

    # an open file instead of its path: the clip cannot name another file
    with open(path, "rb") as file, av.open(file, "r", format=demuxer) as clip:
        stream = clip.streams.video[0]
        if stream.width * stream.height > _MAX_PIXELS:
            return None
        stream.thread_count = 1
        frame = next(clip.decode(stream), None)
        if frame is None:
            return None
        encoder = av.CodecContext.create("mjpeg", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height = frame.width, frame.height
        encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
        picture = frame.reformat(format="yuvj420p")
        picture.pts = None
        return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


if __name__ == "__main__":
    main()

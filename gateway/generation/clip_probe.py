"""The child process of `gateway.generation.clips`: reads one clip on stdin and prints its size and length.

`python -I clip_probe.py <demuxer>` writes one `FACTS` struct to stdout: width and height (pixels, 0 if there
is no video stream) and seconds (0 if the container does not say). Every failure is an exit code other than 0.
It gives no reason: the parent needs none, and a misled demultiplexer could not be trusted to give one. It
runs by its path and isolated, so it must not import anything of this package.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys

EXIT_NO_PYAV = 78
FACTS = struct.Struct("!IId")
_MEMORY_BYTES = 1536 * 2**20  # address space; PyAV's libraries and their threads use half of it
_CPU_SECONDS = 5


def main() -> None:
    _limit_ourselves()
    try:
        import av
    except ImportError:
        sys.exit(EXIT_NO_PYAV)
    raw = io.BytesIO(sys.stdin.buffer.read())
    width = height = 0
    seconds = 0.0
    with av.open(raw, "r", format=sys.argv[1], metadata_errors="replace") as clip:
        if clip.streams.video:
            stream = clip.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            if stream.duration and stream.time_base:
                seconds = float(stream.duration * stream.time_base)
            else:
                seconds = (clip.duration or 0) / av.time_base
    sys.stdout.buffer.write(FACTS.pack(width, height, seconds))


def _limit_ourselves() -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    # macOS has this limit but refuses to set it.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


if __name__ == "__main__":
    main()

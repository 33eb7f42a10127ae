"""A render process. It reads one script per line, and writes lines of progress and one line of the outcome:

    {"progress": 0.25}      {"done": true}      {"error": [CODE, MESSAGE]}

It ends when its input ends, so that it never outlives the sandbox.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import av
import orjson
from PIL import Image, UnidentifiedImageError

from gateway.sandbox.media import check_image
from gateway.sandbox.refusals import RequestRefused
from gateway.sandbox.render.film import render_film
from gateway.sandbox.render.script import Script

_PROGRESS_EVERY_FRAMES = 4
_NICENESS = 5  # the machine also runs the services that wait for the video


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the sandbox handles it
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    os.nice(_NICENESS)
    for line in sys.stdin.buffer:
        _send(_outcome(Script(**orjson.loads(line))))


def _outcome(script: Script) -> dict[str, Any]:
    try:
        for place, path in enumerate(script.images):
            check_image(Path(path).read_bytes(), f"images[{place}]")
        render_film(script, lambda done: _progress(done, script.frames))
    except RequestRefused as refused:
        return {"error": [refused.code, refused.message]}
    except BrokenPipeError:
        os._exit(0)  # the sandbox is gone, so nobody can read the output
    except UnidentifiedImageError:
        return {
            "error": ["ImageFormatInvalid", "the picture of the watermark is not a png, jpeg or webp image"]
        }
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return {"error": ["ImageSizeInvalid", "the picture of the watermark has too many pixels"]}
    except (av.FFmpegError, OSError, ValueError, SyntaxError, MemoryError) as error:
        return {"error": ["InternalServiceFailure", f"the video could not be made: {type(error).__name__}"]}
    return {"done": True}


def _progress(done: int, frames: int) -> None:
    if done % _PROGRESS_EVERY_FRAMES == 0:
        _send({"progress": done / frames})


def _send(message: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

"""Real images and clips, made when they are asked for."""

from __future__ import annotations

import base64
import io
import tempfile
from functools import cache
from pathlib import Path

import av
from av.video import VideoStream
from PIL import Image


@cache
def image(kind: str = "png", size: tuple[int, int] = (128, 128)) -> bytes:
    """`kind`: what Pillow calls the format."""
    out = io.BytesIO()
    Image.new("RGB", size, "teal").save(out, kind)
    return out.getvalue()


@cache
def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (128, 128), colour) for colour in ("teal", "gold", "navy")]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


@cache
def clip(
    seconds: float = 1.0, size: tuple[int, int] = (128, 128), container: str = "mp4", flags: str = ""
) -> bytes:
    """`container`: mp4, mov or avi. `flags`: movflags of the first two, such as `+faststart`."""
    codec = "mpeg4" if container == "avi" else "libx264"
    with tempfile.TemporaryDirectory() as folder:  # faststart opens its own file again
        path = Path(folder, "clip")
        with av.open(path, "w", format=container, options={"movflags": flags} if flags else {}) as target:
            stream = target.add_stream(codec, rate=10)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.options = {"bf": "0"}  # with frames out of order, some headers count one frame more
            stream.gop_size = 10  # several fragments, and frames that an edit list can hide
            for _ in range(round(seconds * 10)):
                target.mux(stream.encode(av.VideoFrame(*size, "yuv420p")))
            target.mux(stream.encode())
        return path.read_bytes()


@cache
def sound() -> bytes:
    """An mp4 that holds sound alone."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        stream = target.add_stream("aac", rate=44_100)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate = 44_100
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return out.getvalue()


def data_uri(declared: str, raw: bytes) -> str:
    return f"data:{declared};base64,{base64.b64encode(raw).decode()}"

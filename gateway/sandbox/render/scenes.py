"""One reference as a scene: a plate, and a camera that pans and zooms over it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import av
from PIL import Image

from gateway.sandbox.render.planes import Box, Picture, image_of
from gateway.sandbox.render.plates import opaque, plate

_WIDE, _CLOSE = 1.02, 1.2


class Scene(Protocol):
    """One part of the film. `at` goes from 0 to 1 over the scene; `elapsed` is the same in seconds, and never
    decreases from call to call."""

    def view(self, at: float, elapsed: float) -> Picture: ...


@dataclass(frozen=True, slots=True)
class Camera:
    """A straight move from one framing to another. A framing is the centre x and y (0 to 1 of the free room)
    and the zoom."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]

    @classmethod
    def moved_by(cls, dice: random.Random) -> Camera:
        """A random zoom in or out, across the free room of the plate, to or from a point off the centre."""
        across = dice.choice((0.12, 0.88))
        wide = across, across, _WIDE
        close = 1 - across + dice.uniform(-0.1, 0.1), 0.5 + dice.uniform(-0.2, 0.2), _CLOSE
        return cls(wide, close) if dice.random() < 0.5 else cls(close, wide)

    def box(self, plate_size: tuple[int, int], frame: tuple[int, int], at: float) -> Box:
        eased = 0.5 * at + 0.5 * at * at * (3 - 2 * at)
        x, y, zoom = (a + (b - a) * eased for a, b in zip(self.start, self.end, strict=True))
        scale = min(plate_size[0] / frame[0], plate_size[1] / frame[1]) / zoom
        width, height = frame[0] * scale, frame[1] * scale
        left = min(max(x, 0.0), 1.0) * (plate_size[0] - width)
        top = min(max(y, 0.0), 1.0) * (plate_size[1] - height)
        return left, top, left + width, top + height


class Still:
    """A reference image."""

    def __init__(self, image: Image.Image, frame: tuple[int, int], camera: Camera) -> None:
        self._plate = Picture.from_rgb(plate(image, *frame))
        self._frame = frame
        self._camera = camera

    def view(self, at: float, elapsed: float) -> Picture:
        return self._plate.view(self._camera.box(self._plate.size, self._frame, at), self._frame)


class Clip:
    """A reference video, played from its start under a moving camera. Its last frame stays."""

    def __init__(self, path: str, frame: tuple[int, int], camera: Camera) -> None:
        self._frame = frame
        self._camera = camera
        self._container = av.open(path, "r")
        self._decoded = self._frames()
        first = next(self._decoded, None)
        if first is None:
            self._container.close()
            raise ValueError("the clip holds no frame")
        self._origin, image = first
        self._plate = self._from(image)
        self._next = next(self._decoded, None)

    def _frames(self) -> Iterator[tuple[float, Image.Image]]:
        try:
            for decoded in self._container.decode(video=0):
                yield float(decoded.time or 0.0), image_of(decoded)
        except av.FFmpegError:
            return  # the clip is truncated: show what came before

    def _from(self, image: Image.Image) -> Picture:
        return Picture.from_rgb(plate(opaque(image), *self._frame))

    def view(self, at: float, elapsed: float) -> Picture:
        due: Image.Image | None = None
        while self._next is not None and self._next[0] - self._origin <= elapsed:
            due = self._next[1]
            self._next = next(self._decoded, None)
        if due is not None:
            self._plate = self._from(due)
        return self._plate.view(self._camera.box(self._plate.size, self._frame, at), self._frame)

"""Plays scenes one after the other, with a cross-fade between them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sandbox.render.planes import Picture
from gateway.sandbox.render.scenes import Scene

_LONGEST_FADE = 0.8
_FADE_SHARE = 0.4


class Reel:
    """`scenes` share `seconds` equally. During a fade, both neighbours are visible."""

    def __init__(self, scenes: Sequence[Scene], seconds: float) -> None:
        self._scenes = scenes
        self._length = seconds / len(scenes)
        self._fade = min(_LONGEST_FADE, self._length * _FADE_SHARE)

    def at(self, time: float) -> Picture:
        """A new picture, `time` seconds from the start. The caller may draw on it."""
        index = min(int(time / self._length), len(self._scenes) - 1)
        edge = (index + 1) * self._length
        if index + 1 < len(self._scenes) and time > edge - self._fade / 2:
            return self._mixed(index, time, edge)
        before = index * self._length
        if index and time < before + self._fade / 2:
            return self._mixed(index - 1, time, before)
        return self._seen(index, time)

    def _mixed(self, index: int, time: float, edge: float) -> Picture:
        share = (time - edge) / self._fade + 0.5
        smooth = share * share * (3 - 2 * share)
        return self._seen(index, time).blend(self._seen(index + 1, time), smooth)

    def _seen(self, index: int, time: float) -> Picture:
        start = index * self._length - self._fade / 2
        elapsed = max(0.0, time - start)
        return self._scenes[index].view(min(1.0, elapsed / (self._length + self._fade)), elapsed)

"""Background music: plucked chords over a soft bass. The seed chooses the key and the pattern."""

from __future__ import annotations

import array
import math
import random
from collections.abc import Iterator
from fractions import Fraction

import av

RATE = 44_100
_AAC_FRAME = 1024
_LOUDNESS = 6200
_BEAT = 0.25
_BEATS_A_BAR = 8
_TONICS = (196.0, 220.0, 246.94, 261.63)
_BARS = ((0, 4, 7, 11), (-3, 0, 4, 7), (5, 9, 12, 16), (-5, -1, 2, 7))  # I, vi, IV, V in semitones
_PATTERNS = ((0, 2, 1, 3, 2, 1, 3, 2), (0, 1, 2, 3, 2, 3, 1, 2), (3, 1, 2, 0, 2, 1, 3, 2))


def music(seconds: int, seed: int) -> Iterator[av.AudioFrame]:
    """Exactly `seconds` of mono sound, in frames for the AAC encoder."""
    samples = _mixed(seconds, random.Random(seed))
    for start in range(0, len(samples), _AAC_FRAME):
        part = samples[start : start + _AAC_FRAME]
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(part))
        frame.planes[0].update(part.tobytes())
        frame.sample_rate = RATE
        frame.pts, frame.time_base = start, Fraction(1, RATE)
        yield frame


def _mixed(seconds: int, dice: random.Random) -> array.array[int]:
    total = seconds * RATE
    sound = [0.0] * total
    tonic, pattern = dice.choice(_TONICS), dice.choice(_PATTERNS)
    notes: dict[tuple[int, float], list[float]] = {}
    for beat in range(math.ceil(seconds / _BEAT)):
        bar = _BARS[beat // _BEATS_A_BAR % len(_BARS)]
        pitches = [(bar[pattern[beat % _BEATS_A_BAR]] + 12, 0.7)]
        if beat % (_BEATS_A_BAR // 2) == 0:
            pitches.append((bar[0] - 12, 1.6))
        for semitone, length in pitches:
            if (semitone, length) not in notes:
                notes[semitone, length] = _note(tonic * 2 ** (semitone / 12), length)
            _add(sound, notes[semitone, length], round(beat * _BEAT * RATE))
    _fade_ends(sound)
    return array.array("h", [int(level) for level in sound])


def _note(pitch: float, length: float) -> list[float]:
    """A plucked note: a fast attack, a slow decay, and a second harmonic that decays faster."""
    count = int(length * RATE)
    decay = 4.5 / count
    low, high = _ringing(pitch, decay, count), _ringing(2 * pitch, 3 * decay, count)
    note = [_LOUDNESS * (a + 0.35 * b) for a, b in zip(low, high, strict=True)]
    attack = int(0.008 * RATE)
    note[:attack] = [level * n / attack for n, level in enumerate(note[:attack])]
    return note


def _ringing(pitch: float, decay: float, count: int) -> list[float]:
    """exp(-decay n) sin(2 pi pitch n / RATE), computed by a recurrence: a tenth of the work of the
    formula."""
    keep = math.exp(-decay)
    turn, damp = 2 * keep * math.cos(2 * math.pi * pitch / RATE), keep * keep
    before, now = 0.0, keep * math.sin(2 * math.pi * pitch / RATE)
    levels = []
    for _ in range(count):
        levels.append(before)
        before, now = now, turn * now - damp * before
    return levels


def _add(sound: list[float], note: list[float], start: int) -> None:
    end = min(len(sound), start + len(note))
    sound[start:end] = [a + b for a, b in zip(sound[start:end], note, strict=False)]


def _fade_ends(sound: list[float]) -> None:
    length = min(len(sound) // 4, int(0.8 * RATE))
    for n in range(length):
        sound[-1 - n] *= n / length

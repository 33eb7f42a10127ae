"""The child process of `gateway.generation.inspection`: inspects one file, its stdin.

A pipe is read whole. A file is mapped into memory, and only what is looked at is read.

`python -I media_probe.py <extension>` writes one `FACTS` struct to stdout: width and height (pixels, 0 if
there is no video stream), seconds (0 for a picture), what says so (an index of `SOURCES`), and whether the
file is whole. Every failure is an exit code other than 0. It gives no reason, unless memory is short: misled
C code could not be trusted to give one. It runs by its path and isolated, so it must not import anything of
this package.

A picture is decoded. A clip is not: reading its packets shows whether they are all there. Its length is the
greatest that any header or the timestamps of its packets say, because nobody knows which of them the upstream
believes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import mmap
import re
import struct
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

EXIT_NO_PYAV = 78
EXIT_TOO_LARGE = 79
FACTS = struct.Struct("!IIdB?")
SOURCES = (
    "its packets",
    "its movie header (mvhd)",
    "a track header (tkhd)",
    "a media header (mdhd)",
    "an edit list (elst)",
    "a sample table (stts)",
    "its fragment header (mehd)",
    "a segment index (sidx)",
    "its AVI header (avih)",
    "a stream header (strh)",
    "its OpenDML header (dmlh)",
    "its container",
)
Lengths = list[tuple[float, int]]  # seconds, index of SOURCES
Box = tuple[bytes, int, int, int]  # name, number of the track or 0, start and end of the content

_PACKETS, _MVHD, _TKHD, _MDHD, _ELST, _STTS, _MEHD, _SIDX, _AVIH, _STRH, _DMLH, _CONTAINER = range(12)
_MEMORY_BYTES = 1536 * 2**20  # address space; PyAV's libraries and their threads use half of it
_CPU_SECONDS = 5
_MAX_SECONDS = 1e9  # a length beyond that is a damaged header
_DECODERS = {"jpg": "mjpeg", "png": "png", "webp": "webp"}
# The demultiplexer is forced, so that a clip cannot choose another one.
_DEMUXERS = {"mp4": "mov", "mov": "mov", "avi": "avi"}
_ISO_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf"})
# Source, and where the scale and the length are in the content of each of the two versions of a box.
_FIXED_BOXES: dict[bytes, tuple[int, tuple[int, int] | None, tuple[int, int]]] = {
    b"mvhd": (_MVHD, (12, 20), (16, 24)),
    b"mdhd": (_MDHD, (12, 20), (16, 24)),
    b"tkhd": (_TKHD, None, (20, 28)),
    b"mehd": (_MEHD, None, (4, 4)),
}
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def main() -> None:
    _limit_ourselves()
    try:
        import av  # noqa: F401
    except ImportError:
        sys.exit(EXIT_NO_PYAV)
    try:
        raw, extension = _standard_input(), sys.argv[1]
        facts = _picture(raw, extension) if extension in _DECODERS else _clip(raw, extension)
    except MemoryError:
        sys.exit(EXIT_TOO_LARGE)
    sys.stdout.buffer.write(FACTS.pack(*facts))


def _standard_input() -> bytes | mmap.mmap:
    with contextlib.suppress(OSError, ValueError):  # a pipe, or an empty file
        return mmap.mmap(sys.stdin.fileno(), 0, access=mmap.ACCESS_READ)
    return sys.stdin.buffer.read()


def _limit_ourselves() -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # At the first limit SIGXCPU ends us, by which the parent knows the reason.
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 1))
    # macOS has this limit but refuses to set it.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _picture(raw: bytes | mmap.mmap, extension: str) -> tuple[int, int, float, int, bool]:
    """Decodes the picture strictly. Bytes behind its end do not matter."""
    import av

    decoder = av.CodecContext.create(_DECODERS[extension], "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.options = {"err_detect": "explode+crccheck"}
    decoder.thread_count = 1
    pictures = decoder.decode(av.Packet(bytes(raw))) or decoder.decode(None)
    whole = bool(pictures) and (extension != "jpg" or _has_end(raw))
    width, height = decoder.width, decoder.height
    return width, height, 0.0, 0, whole


def _has_end(jpeg: bytes | mmap.mmap) -> bool:
    """Whether the end marker follows the last scan. Without it, scans of a progressive JPEG are missing."""
    at = 2
    while (found := _JPEG_MARKER.search(jpeg, at)) is not None:
        if found[0] == b"\xff\xd9":
            return True
        at = found.end() + struct.unpack_from(">H", jpeg, found.end())[0]  # past the content of the segment
    return False


def _clip(raw: bytes | mmap.mmap, extension: str) -> tuple[int, int, float, int, bool]:
    import av

    demuxer = _DEMUXERS[extension]
    lengths, whole = (_avi_headers if demuxer == "avi" else _iso_headers)(memoryview(raw))
    if not whole:
        return 0, 0, 0.0, 0, False
    options = {} if demuxer == "avi" else {"ignore_editlist": "1"}  # or it skips what an edit list leaves out
    file = raw if isinstance(raw, mmap.mmap) else io.BytesIO(raw)
    with av.open(file, "r", format=demuxer, options=options, metadata_errors="replace") as clip:
        cover = av.stream.Disposition.attached_pic
        videos = [stream for stream in clip.streams.video if not stream.disposition & cover]
        if not videos:
            return 0, 0, 0.0, 0, True
        seconds, whole = _read_packets(clip, len(raw))
        if not lengths:  # our own reading found no header, for instance because they are compressed
            lengths.append(((clip.duration or 0) / av.time_base, _CONTAINER))
        lengths.append((seconds, _PACKETS))
        decoder = videos[0].codec_context
    known = (length for length in lengths if length[0] < _MAX_SECONDS)
    seconds, source = max(known, key=lambda length: (length[0], -length[1]))
    return decoder.width, decoder.height, seconds, source, whole


def _read_packets(clip: InputContainer, size: int) -> tuple[float, bool]:
    """The seconds from the first to the last moment of all streams, and whether every packet is there."""
    starts, ends = [], []
    whole = True
    streams = (*clip.streams.video, *clip.streams.audio)
    for packet in clip.demux(streams):
        at = packet.dts if packet.pts is None else packet.pts
        if packet.size and at is not None and packet.time_base:
            starts.append(float(at * packet.time_base))
            ends.append(float((at + (packet.duration or 0)) * packet.time_base))
            whole = whole and not packet.is_corrupt and not _was_never_written(packet)
    beyond = any(entry.pos + entry.size > size for stream in streams for entry in stream.index_entries)
    return max(ends, default=0.0) - min(starts, default=0.0), whole and bool(starts) and not beyond


def _was_never_written(packet: Packet[Stream]) -> bool:
    """Whether zeros stand in place of a frame, as in a file that was reserved before it was downloaded."""
    if packet.stream.type != "video" or bytes(packet).strip(b"\0"):
        return False
    try:
        packet.decode()
    except ValueError:  # PyAV's InvalidDataError is one
        return True
    return False


def _iso_headers(file: memoryview) -> tuple[Lengths, bool]:
    """Every length that the headers of an mp4 or mov file state, and whether it ends where its boxes do."""
    scales: dict[int, int] = {}  # ticks per second of each track; 0: of the movie
    ticks: list[tuple[int, int, int]] = []  # number of the track, ticks, source
    lengths: Lengths = []
    names, cut = set(), set()
    for name, track, at, end in _boxes(file, 0, len(file), itertools.count(1), 0):
        names.add(name)
        if end > len(file):
            cut.add(name)
        with contextlib.suppress(struct.error, IndexError):  # a box that is too short says nothing
            if name in _FIXED_BOXES:
                source, scale_at, length_at = _FIXED_BOXES[name]
                version = file[at]
                owner = track if name == b"mdhd" else 0
                if scale_at is not None:
                    scale = _number(file, at + scale_at[version], wide=False)
                    scales[owner] = min(scale, scales.get(owner, scale))
                ticks.append((owner, _number(file, at + length_at[version], wide=version == 1), source))
            elif name == b"elst":
                layout, unknown = (">Q12x", 2**64 - 1) if file[at] else (">I8x", 2**32 - 1)
                edits = (length for (length,) in _entries(file, at, end, layout) if length != unknown)
                ticks.append((0, sum(edits), _ELST))
            elif name == b"stts":
                entries = _entries(file, at, end, ">II")
                ticks.append((track, sum(count * length for count, length in entries), _STTS))
            elif name == b"sidx":
                seconds, covered_to = _segments(file, at, end)
                lengths.append((seconds, _SIDX))
                if covered_to > len(file):
                    cut.add(name)
    lengths += [(count / scales[owner], source) for owner, count, source in ticks if scales.get(owner)]
    # The index entries of a file without fragments show better whether its frames are there.
    needed = {b"moov", b"moof", b"sidx", b"mdat"} if b"moof" in names else {b"moov"}
    return lengths, b"moov" in names and not needed & cut


def _boxes(file: memoryview, at: int, end: int, tracks: Iterator[int], track: int) -> Iterator[Box]:
    """All boxes inside `at` to `end`, and those inside them. The last one may say that it ends beyond."""
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", file, at)
        content = at + 8
        if size == 1 and content + 8 <= end:
            (size,) = struct.unpack_from(">Q", file, content)
            content += 8
        beyond = at + size if size else end
        if beyond < content:
            return
        number = next(tracks) if name == b"trak" else track
        yield name, number, content, beyond
        if name in _ISO_CONTAINERS:
            yield from _boxes(file, content, min(beyond, end), tracks, number)
        at = beyond


def _number(file: memoryview, at: int, *, wide: bool) -> int:
    """A length or scale. 0 if all its bits are set, which means that it is unknown."""
    number: int = struct.unpack_from(">Q" if wide else ">I", file, at)[0]
    return 0 if number == (2**64 - 1 if wide else 2**32 - 1) else number


def _entries(file: memoryview, at: int, end: int, layout: str) -> Iterator[tuple[int, ...]]:
    size = struct.calcsize(layout)
    count = min(struct.unpack_from(">I", file, at + 4)[0], (min(end, len(file)) - at - 8) // size)
    return struct.iter_unpack(layout, file[at + 8 : at + 8 + count * size])


def _segments(file: memoryview, at: int, end: int) -> tuple[float, int]:
    """The seconds of all segments of an index, and where the last one ends in the file."""
    (scale,) = struct.unpack_from(">I", file, at + 8)
    wide = file[at] == 1
    (gap,) = struct.unpack_from(">Q" if wide else ">I", file, at + (20 if wide else 16))
    first = at + (32 if wide else 24)  # its count is in the four bytes before
    segments = list(_entries(file, first - 8, end, ">II4x"))
    covered_to = end + gap + sum(size & 0x7FFFFFFF for size, _ in segments)
    return sum(ticks for _, ticks in segments) / (scale or 1), covered_to


def _avi_headers(file: memoryview) -> tuple[Lengths, bool]:
    """Every length that the headers of an AVI state, and whether its frames are written to their end."""
    lengths: Lengths = []
    frame_seconds = 0.0
    whole = True
    for name, at, end in _chunks(file, 0, len(file)):
        with contextlib.suppress(struct.error):
            if name == b"avih":
                microseconds, frames = struct.unpack_from("<I12xI", file, at)
                frame_seconds = microseconds / 1e6
                lengths.append((frames * frame_seconds, _AVIH))
            elif name == b"dmlh":
                lengths.append((struct.unpack_from("<I", file, at)[0] * frame_seconds, _DMLH))
            elif name == b"strh":
                scale, rate, _, length = struct.unpack_from("<20xIIII", file, at)
                lengths.append((length * scale / (rate or 1), _STRH))
            elif end > len(file) if name == b"movi" else not any(name):
                whole = False
    return lengths, whole


def _chunks(file: memoryview, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of an AVI, and those inside its lists. A list has the name of its kind."""
    while at + 12 <= end:
        name, size = struct.unpack_from("<4sI", file, at)
        content, beyond = at + 8, at + 8 + size
        if name in (b"RIFF", b"LIST"):
            name, content = bytes(file[at + 8 : at + 12]), at + 12
            yield from _chunks(file, content, min(beyond, end))
        yield name, content, beyond
        if not any(name):  # zeros stand in place of a chunk
            return
        at = beyond + (size & 1)


if __name__ == "__main__":
    main()

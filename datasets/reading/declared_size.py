"""Size of a video file by its own header: FFmpeg treats a file that lost its end as a shorter one."""

from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

UNKNOWN_RIFF = b"\xff\xff\xff\xff"
TS_PACKET = 188  # bytes
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # of Matroska and WebM
MEDIA = (b"mdat", b"moof")  # boxes of MP4 and MOV with frames; what follows the last one may not be a box
FARTHEST = 1 << 40  # bytes: sizes in damaged files may be beyond what a file system can seek
FIRST_BOX = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")


def declared_size(path: Path) -> int:
    """Minimum size of the complete file in bytes; 0: unknown. Raises an `OSError` if it cannot be read.

    Known for AVI, Matroska, WebM, MP4 and MOV, unless the size was never written (a live recording). A transport stream
    (TS) only tells whether its packets are complete. Other formats store no size.

    Sources: "AVI RIFF File Reference" (Microsoft), RFC 8794 (EBML), ISO/IEC 14496-12 section 4.2 (boxes), ISO/IEC
    13818-1 section 2.4.3.2 (TS).
    """
    with path.open("rb") as file:
        start = file.read(TS_PACKET + 1)
        file.seek(0)
        if start[:4] == b"RIFF":
            return (8 + int.from_bytes(start[4:8], "little")) if start[4:8] != UNKNOWN_RIFF else 0
        if start[:4] == EBML:
            return _segment_end(file)
        if start[::TS_PACKET] == b"GG":  # each packet begins so
            return -(-file.seek(0, SEEK_END) // TS_PACKET) * TS_PACKET
        return _media_end(file) if start[4:8] in FIRST_BOX else 0


def _segment_end(file: BinaryIO) -> int:
    """End of the element that holds all others except the head."""
    for name in (EBML, SEGMENT):
        if file.read(4) != name:
            return 0
        first = file.read(1)
        width = 9 - first[0].bit_length() if first else 9  # the leading zeros count the bytes that follow
        size = int.from_bytes(first + file.read(width - 1), "big") & ((1 << 7 * width) - 1)
        if width > 8 or size == (1 << 7 * width) - 1:  # all ones: unknown
            return 0
        if name == SEGMENT:
            return file.tell() + size
        file.seek(min(size, FARTHEST), 1)
    return 0


def _media_end(file: BinaryIO) -> int:
    """End of the last box with frames; boxes follow one another, each beginning with its size."""
    end, offset = 0, 0
    while len(head := file.read(8)) == 8:
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        if size < 8:  # 0: to the end of the file; otherwise not a box
            break
        offset += size
        if name in MEDIA:
            end = offset
        file.seek(min(offset, FARTHEST))
    return end

"""JPEG (ISO/IEC 10918-1): markers, each FF and a kind, most of them followed by a segment with its length."""

from dataclasses import dataclass, field

import numpy as np

from proofs.formats.parts import EXIF_HEADER, MAX_PROFILE, PictureParts, tiff
from proofs.unreadable import incomplete, unusual_structure

SIGNATURE = b"\xff\xd8\xff"
CONTENT_TYPE = "image/jpeg"
# A progressive JPEG has about ten scans. Each is a pass over the whole picture, and a small file can contain a million:
# 64 scans of 64 million pixels took 11 s; within these limits it takes 2 s.
MAX_SCANS = 64
MAX_SCANNED_PIXELS = 800_000_000
# 10 MB of profiles and previews are 160 segments. A segment can be as small as 4 bytes.
MAX_SEGMENTS = 2000

START, END = b"\xff\xd8", b"\xff\xd9"
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
# What decoding needs besides the frame and the scans: tables and restart intervals,
_TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD}
# and what says how colours are stored.
_COLOURS = (b"JFIF\0", b"Adobe")
# What can stand between two scans; anything else after a scan is no part of the picture.
_BETWEEN_SCANS = {_SOS, *_TABLES, 0xFE, *range(0xE0, 0xF0)}
_PROFILE_HEADER = b"ICC_PROFILE\0"


@dataclass(slots=True)
class _Parts:
    """What was found so far. `missing` has the bits of each component's coefficients that no scan has brought yet."""

    kept: list[bytes] = field(default_factory=lambda: [START])
    shown: int = 0
    scans: int = 0
    pixels: int = 0
    progressive: bool = False
    missing: dict[int, list[int]] = field(default_factory=dict)
    exif: bytes = b""
    profile: dict[int, bytes] = field(default_factory=dict)

    def add(self, kind: int, segment: bytes) -> None:
        content = segment[4:]
        if kind in _FRAMES:
            self.pixels = int.from_bytes(content[1:3]) * int.from_bytes(content[3:5])
            self.progressive = kind in _PROGRESSIVE
            self.missing = {component: [1] * 64 for component in content[6::3]}
            self.kept.append(segment)
        elif kind in _TABLES or (kind in (_APP0, _APP14) and content.startswith(_COLOURS)):
            self.kept.append(segment)
        elif kind == _APP1 and content.startswith(EXIF_HEADER):
            self.exif = self.exif or tiff(content)
        elif kind == _APP2 and content.startswith(_PROFILE_HEADER) and len(content) > 14:
            self.profile.setdefault(content[12], content[14:])

    def add_scan(self, scan: bytes) -> None:
        self.scans += 1
        if self.scans > MAX_SCANS or self.scans * self.pixels > MAX_SCANNED_PIXELS:
            raise unusual_structure()
        self.kept.append(scan)
        self.shown = len(self.kept)
        components = scan[5 : 5 + 2 * scan[4] : 2] if len(scan) > 4 else b""
        first, last, bits = scan[5 + 2 * len(components) : 8 + 2 * len(components)].ljust(3, b"\0")
        for component in components:
            missing = self.missing.get(component, [])
            if self.progressive:
                missing[first : last + 1] = [bits & 15] * len(missing[first : last + 1])
            else:
                missing[:] = [0] * len(missing)

    def finish(self, *, may_be_cut: bool) -> PictureParts:
        kept = self.kept[: self.shown]
        if may_be_cut and (not kept or any(any(missing) for missing in self.missing.values())):
            raise incomplete()
        if may_be_cut:  # a marker that is cut in half would join the end marker
            kept[-1] = kept[-1].rstrip(b"\xff")
        profile = b"".join(self.profile[number] for number in sorted(self.profile))
        return PictureParts(
            CONTENT_TYPE,
            b"".join([*kept, END]),
            self.exif,
            profile if len(profile) <= MAX_PROFILE else b"",
            may_be_cut,
        )


def parts(data: bytes) -> PictureParts:
    """Reduce a JPEG to its pixels, profile and EXIF, up to its end marker: phones append videos and second pictures.

    A picture without an end marker ends where its last scan does, and `may_be_cut`.
    """
    octets = np.frombuffer(data, np.uint8)
    # Inside a scan, FF is followed by 00 or is a restart marker (D0 to D7). Anything else is a marker between segments.
    marked = np.flatnonzero(octets[:-1] == 0xFF)
    kinds = octets[marked + 1]
    markers = marked[(kinds >= 0xC0) & (kinds < 0xFF) & (kinds >> 3 != 0x1A)]
    found = _Parts()
    place = len(START)
    for _ in range(MAX_SEGMENTS):
        index = np.searchsorted(markers, place)
        if index == len(markers):
            return found.finish(may_be_cut=True)
        place = int(markers[index])
        kind = data[place + 1]
        if kind == _EOI:
            return found.finish(may_be_cut=False)
        if found.scans and kind not in _BETWEEN_SCANS:
            return found.finish(may_be_cut=True)
        if kind == _SOI:
            place += 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if kind == _SOS:
            after = np.searchsorted(markers, end)
            end = int(markers[after]) if after < len(markers) else len(data)
            found.add_scan(data[place:end])
        else:
            found.add(kind, data[place:end])
        place = end
    raise unusual_structure()

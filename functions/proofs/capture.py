"""Whether a photo was taken in its window, by what it tells of when it was taken. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from proofs.rules import Reason, Unsure

# A camera that is not a phone keeps its own time and is set by hand: a few minutes off is honest.
CLOCK_TOLERANCE = timedelta(minutes=5)
# Where a photo does not tell its zone, who sent it may have travelled, or not have set the camera's clock since summer:
# so near to the window a person had better look.
ZONE_TOLERANCE = timedelta(hours=3)
# EXIF's times are of whole seconds, and a photo may be of that second's end.
EXIF_RESOLUTION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Captured:
    """When a photo was taken, by its own telling: the camera's wall clock (naive), and its offset where it tells."""

    wall: datetime
    offset: timedelta | None


def check(
    captured: Captured | None, opens_at: datetime, closes_at: datetime, stored_at: datetime, zone: ZoneInfo
) -> Reason | Unsure | None:
    """Whether a photo that reached storage at `stored_at` was taken in the window [opens_at, closes_at); None: it was.

    - It tells its offset: it must lie in the window, or within `CLOCK_TOLERANCE` of it.
    - It does not: its time is read in the participant's zone; where clocks were set back and it came twice, or was left
      out, both ways. In the window is in. Outside by up to `ZONE_TOLERANCE`, as another zone would explain: unsure.

    Nothing was taken after it was stored, but by a clock that is fast: for that the window ends with `CLOCK_TOLERANCE`
    after it.
    """
    if captured is None:
        detail = (
            "This photo does not say when it was taken. Messengers and apps that edit or re-encode pictures remove"
            " that: send the original, as your camera stored it."
        )
        return Reason(code="exif_missing", detail=detail)
    latest = min(closes_at, stored_at + CLOCK_TOLERANCE)
    readings = _readings(captured, zone)
    found = min(readings, key=lambda instant: _outside(instant, opens_at, latest))
    outside = _outside(found, opens_at, latest)
    if outside == timedelta(0) or (captured.offset is not None and outside <= CLOCK_TOLERANCE):
        return None
    detail = f"This photo says that it was taken at {_clock_face(found, zone)}, but "
    if opens_at <= found < closes_at:
        detail += f"it was sent before that, at {_clock_face(stored_at, zone)} ({zone.key})."
    else:
        detail += f"your window was from {_clock_face(opens_at, zone)} to {_clock_face(closes_at, zone)} ({zone.key})."
    if captured.offset is None and outside <= ZONE_TOLERANCE:
        detail += " It does not say in which time zone: a person has to decide."
        return Unsure(Reason(code="exif_time_mismatch", detail=detail))
    detail += " Set your camera's clock and time zone, and send a photo that was taken in the window."
    return Reason(code="exif_time_mismatch", detail=detail)


def _readings(captured: Captured, zone: ZoneInfo) -> list[datetime]:
    """The instants (UTC) that a photo's time may mean."""
    if captured.offset is not None:
        return [(captured.wall - captured.offset).replace(tzinfo=UTC)]
    return [captured.wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]


def _outside(instant: datetime, opens_at: datetime, closes_at: datetime) -> timedelta:
    """How far from the window [opens_at, closes_at) the photo is; zero inside."""
    return max(opens_at - instant, instant + EXIF_RESOLUTION - closes_at, timedelta(0))


def _clock_face(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%H:%M on %Y-%m-%d}"

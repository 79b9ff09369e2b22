"""Whether a photo was taken in its window, by the time that its EXIF gives. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chally.zones import ZoneInfo
from proofs.rules.verdict import Doubt, Reason

# Cameras that are not phones have clocks that people set by hand: a few minutes off is honest.
CLOCK_TOLERANCE = timedelta(minutes=5)
# If a photo gives no UTC offset, its sender may have travelled, or may not have set the camera's clock since the last
# change to summer time. A photo taken this close to the window is for a reviewer to decide.
ZONE_TOLERANCE = timedelta(hours=3)
# EXIF times are whole seconds: the photo may have been taken at the end of that second.
EXIF_RESOLUTION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When EXIF says that a photo was taken: the camera's wall clock (naive), and its UTC offset if it gives one."""

    wall: datetime
    offset: timedelta | None


def check_capture_time(
    captured: CaptureTime | None, opens_at: datetime, closes_at: datetime, stored_at: datetime, zone: ZoneInfo
) -> Reason | Doubt | None:
    """Whether a photo that reached storage at `stored_at` was taken in the window [opens_at, closes_at); None: it was.

    - With a UTC offset, it must lie in the window, or within `CLOCK_TOLERANCE` of it.
    - Without one, its time is read in the participant's zone. A wall time that occurs twice or not at all, where clocks
      change, is read both ways. Inside the window passes; outside by at most `ZONE_TOLERANCE`, which another zone would
      explain, is a doubt.

    A photo cannot be taken after it was stored, unless the camera's clock is fast. So `stored_at` plus
    `CLOCK_TOLERANCE` ends the window if that is earlier.
    """
    if captured is None:
        detail = (
            "This photo does not say when it was taken. Messengers and photo editors remove that information: send the"
            " original file from your camera."
        )
        return Reason(code="exif_missing", detail=detail)
    latest = min(closes_at, stored_at + CLOCK_TOLERANCE)
    taken_at = min(_readings(captured, zone), key=lambda instant: _outside(instant, opens_at, latest))
    outside = _outside(taken_at, opens_at, latest)
    if outside == timedelta(0) or (captured.offset is not None and outside <= CLOCK_TOLERANCE):
        return None
    detail = f"This photo says that it was taken at {_clock_face(taken_at, zone)}, but "
    if opens_at <= taken_at < closes_at:
        detail += f"it was sent before that, at {_clock_face(stored_at, zone)} ({zone.key})."
    else:
        detail += f"your window was from {_clock_face(opens_at, zone)} to {_clock_face(closes_at, zone)} ({zone.key})."
    if captured.offset is None and outside <= ZONE_TOLERANCE:
        detail += " It does not give a time zone, so it needs manual review."
        return Doubt(Reason(code="exif_time_mismatch", detail=detail))
    detail += " Set your camera's clock and time zone, and send a photo taken in the window."
    return Reason(code="exif_time_mismatch", detail=detail)


def _readings(captured: CaptureTime, zone: ZoneInfo) -> list[datetime]:
    """The instants (UTC) that a photo's time can mean."""
    if captured.offset is not None:
        return [(captured.wall - captured.offset).replace(tzinfo=UTC)]
    return [captured.wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]


def _outside(instant: datetime, opens_at: datetime, closes_at: datetime) -> timedelta:
    """The distance of a photo from the window [opens_at, closes_at); zero inside."""
    return max(opens_at - instant, instant + EXIF_RESOLUTION - closes_at, timedelta(0))


def _clock_face(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%H:%M on %Y-%m-%d}"

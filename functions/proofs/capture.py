"""Whether a photo was taken in its window, by the time that its EXIF gives. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from chally.zones import ZoneInfo
from proofs.capture_time import CaptureTime
from proofs.rules.verdict import Doubt, Reason

# Cameras that are not phones have clocks that people set by hand: a few minutes off is honest.
CLOCK_TOLERANCE = timedelta(minutes=5)
# If a photo gives no UTC offset, its sender may have travelled, or may not have set the camera's clock since the last
# change to summer time. A photo taken this close to the window is for a reviewer to decide.
ZONE_TOLERANCE = timedelta(hours=3)
# EXIF times are whole seconds: the photo may have been taken at the end of that second.
EXIF_RESOLUTION = timedelta(seconds=1)


def check_capture_time(
    captured: CaptureTime | None,
    opens_at: datetime,
    closes_at: datetime,
    stored_at: datetime,
    zone: ZoneInfo,
    account_zone: ZoneInfo | None = None,
) -> Reason | Doubt | None:
    """Whether a photo that reached storage at `stored_at` was taken in the window [opens_at, closes_at); None: it was.

    - With a UTC offset, it must lie in the window, or within `CLOCK_TOLERANCE` of it.
    - Without one, its time is read in the participant's zone `zone`, and in the zone that their account has now, as
      they may have travelled since the window was made. A wall time that occurs twice or not at all, where clocks
      change, is read both ways. One reading inside passes; outside by at most `ZONE_TOLERANCE`, which another zone
      would explain, is a doubt.

    A photo cannot be taken after it was stored, unless the camera's clock is fast. So `stored_at` plus
    `CLOCK_TOLERANCE` ends the window if that is earlier.
    """
    if captured is None:
        detail = (
            "This photo does not say when it was taken. Messengers and photo editors remove that information: send the"
            " original file from your camera."
        )
        return Reason(code="exif_missing", detail=detail)
    zones = [zone]
    if account_zone is not None and _differ(zone, account_zone, opens_at, closes_at):
        zones.append(account_zone)
    latest = min(closes_at, stored_at + CLOCK_TOLERANCE)
    taken_at = min(_readings(captured, zones), key=lambda instant: _outside(instant, opens_at, latest))
    outside = _outside(taken_at, opens_at, latest)
    if outside == timedelta(0) or (captured.offset is not None and outside <= CLOCK_TOLERANCE):
        return None
    if captured.offset is None:
        said = _clock_face(captured.wall)
    else:
        said = _in_each(zones, taken_at) if len(zones) > 1 else _clock_face(taken_at.astimezone(zone))
    detail = f"This photo says that it was taken at {said}, but "
    if opens_at <= taken_at < closes_at:
        detail += f"it was sent before that, at {_in_each(zones, stored_at)}."
    else:
        detail += f"your window was from {_in_each(zones, opens_at, closes_at)}."
    if captured.offset is None and outside <= ZONE_TOLERANCE:
        detail += " It does not give a time zone, so it needs manual review."
        return Doubt(Reason(code="exif_time_mismatch", detail=detail))
    detail += " Set your camera's clock and time zone, and send a photo taken in the window."
    return Reason(code="exif_time_mismatch", detail=detail)


def _differ(one: ZoneInfo, other: ZoneInfo, *instants: datetime) -> bool:
    """Whether the clocks of two zones differ at any of these instants."""
    return any(each.astimezone(one).utcoffset() != each.astimezone(other).utcoffset() for each in instants)


def _readings(captured: CaptureTime, zones: Sequence[ZoneInfo]) -> list[datetime]:
    """The instants (UTC) that a photo's time can mean."""
    if captured.offset is not None:
        return [(captured.wall - captured.offset).replace(tzinfo=UTC)]
    return [captured.wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for zone in zones for fold in (0, 1)]


def _outside(instant: datetime, opens_at: datetime, closes_at: datetime) -> timedelta:
    """The distance of a photo from the window [opens_at, closes_at); zero inside."""
    return max(opens_at - instant, instant + EXIF_RESOLUTION - closes_at, timedelta(0))


def _in_each(zones: Sequence[ZoneInfo], *instants: datetime) -> str:
    """The instants on the clocks of each zone, with its name."""
    spans = (" to ".join(_clock_face(each.astimezone(zone)) for each in instants) + f" ({zone.key})" for zone in zones)
    return ", which is ".join(spans)


def _clock_face(wall: datetime) -> str:
    return f"{wall:%H:%M on %Y-%m-%d}"

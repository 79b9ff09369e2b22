"""Instants as people read them: on the clock and the calendar of a time zone."""

from datetime import datetime

from chally.zones import ZoneInfo


def describe(at: datetime, zone: str, *, beside: str | None = None) -> str:
    """Return the wall time, the date and the zone: "06:41 on Sunday 29 November 2026 (Asia/Tokyo)".

    If clocks in the zone `beside` show something else then, their time follows: "(Asia/Tokyo; 16:41 on Saturday 28
    November 2026 in America/New_York)". Seconds are left out, so a deadline is never told too late. Where clocks are
    set back and show a time twice, the offset from UTC says which is meant. An unknown zone is read as UTC.
    """
    here = at.astimezone(find_zone(zone))
    text = f"{here:%H:%M} on {_date(here)} ({here.tzinfo}{_offset_if_ambiguous(here)}"
    there = at.astimezone(find_zone(beside)) if beside is not None else here
    if there.utcoffset() != here.utcoffset():
        date = f" on {_date(there)}" if there.date() != here.date() else ""
        text += f"; {there:%H:%M}{date} in {there.tzinfo}{_offset_if_ambiguous(there)}"
    return text + ")"


def find_zone(name: str) -> ZoneInfo:
    """Return the zone; UTC for an unknown name, because one bad row must not stop all the mails behind it."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def _date(at: datetime) -> str:
    return f"{at:%A} {at.day} {at:%B %Y}"


def _offset_if_ambiguous(at: datetime) -> str:
    return f", {at:UTC%:z}" if at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset() else ""

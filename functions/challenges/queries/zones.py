"""SQL of time zones: which ones are in use, and their offsets in Postgres. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class ZoneMismatch:
    """A zone for which Postgres and Python disagree: at how many of the instants, and first when.

    `first` is None if Postgres, or Python, does not know the zone at all.
    """

    zone: str
    times: int
    first: datetime | None


def in_use(tx: Tx) -> list[str]:
    return list(
        tx.value(
            """
            select coalesce(array_agg(timezone order by timezone), '{}') from (
                select timezone from identity.users where purged_at is null
                union select timezone from challenges.participants
                union select timezone from challenges.challenges
            ) as x
            """,
            {},
        )
    )


def mismatches(tx: Tx, clocks: Sequence[tuple[str, datetime, timedelta]]) -> list[ZoneMismatch]:
    """Compare offsets from UTC, given as (zone, instant, offset), with Postgres; return the zones that differ."""
    return tx.all(
        """
        with known as materialized (select name from pg_timezone_names)
        select c.zone, count(*) as times, min(c.at) filter (where k.name is not null) as first
        from unnest(%(zones)s::text[], %(instants)s::timestamptz[], %(offsets)s::interval[]) as c (zone, at, utc_offset)
        left join known k on k.name = c.zone
        where case when k.name is null then true
              else c.at at time zone c.zone - c.at at time zone 'UTC' <> c.utc_offset end
        group by c.zone order by c.zone
        """,
        {
            "zones": [zone for zone, _, _ in clocks],
            "instants": [at for _, at, _ in clocks],
            "offsets": [offset for _, _, offset in clocks],
        },
        row=ZoneMismatch,
    )

"""SQL of time zones: which ones people live by, and what Postgres makes of them. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Differing:
    """A zone whose clocks Postgres and Python do not read alike: how often of what was asked, and first when.

    `first` is None where Postgres does not know the zone at all.
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


def differing(tx: Tx, clocks: Sequence[tuple[str, datetime, timedelta]]) -> list[Differing]:
    """Those of the zones that Postgres has further from UTC, or less far, at an instant: (zone, instant, offset)."""
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
        row=Differing,
    )

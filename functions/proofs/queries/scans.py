"""Scans: of each version of an upload, that it reached storage, and what the virus scanner found in it.

S3 and the scanner tell of either, in any order and any number of times. Both write to the version's row, so whoever
comes second finds the other's word there: a row is locked by who writes it.
"""

from dataclasses import dataclass
from datetime import datetime

from chally.db import Tx
from proofs.malware import Clean, Finding, Infected


@dataclass(frozen=True, slots=True)
class Stored:
    """A version of an object, as S3 announced it. What has none, in a bucket without versions, goes by `sequencer`."""

    key: str
    version_id: str | None
    sequencer: str
    stored_at: datetime

    @property
    def version(self) -> str:
        """What tells it from the other versions of its object."""
        return self.version_id or self.sequencer


@dataclass(frozen=True, slots=True)
class _Scan:
    sequencer: str | None
    stored_at: datetime | None
    infected: bool | None
    signature: str | None


def arrived(tx: Tx, stored: Stored) -> Finding | None:
    """A version reached storage; what the scanner has found in it so far."""
    scan = tx.maybe(
        """
        insert into proofs.scans as s (proof_id, version_id, sequencer, stored_at)
        select p.id, %(version_id)s, %(sequencer)s, %(stored_at)s from proofs.proofs p where p.object_key = %(key)s
        on conflict on constraint scans_pkey
            do update set sequencer = excluded.sequencer, stored_at = excluded.stored_at
        returning s.sequencer, s.stored_at, s.infected, s.signature
        """,
        {
            "key": stored.key,
            "version_id": stored.version,
            "sequencer": stored.sequencer,
            "stored_at": stored.stored_at,
        },
        row=_Scan,
    )
    if scan is None or scan.infected is None:
        return None
    return Infected(scan.signature or "") if scan.infected else Clean()


def found(tx: Tx, key: str, version_id: str, finding: Finding) -> Stored | None:
    """The scanner found this in a version; the version, where it has reached storage. Once infected, always."""
    scan = tx.maybe(
        """
        insert into proofs.scans as s (proof_id, version_id, infected, signature)
        select p.id, %(version_id)s, %(infected)s, %(signature)s from proofs.proofs p where p.object_key = %(key)s
        on conflict on constraint scans_pkey do update set
            infected = coalesce(s.infected, false) or excluded.infected,
            signature = coalesce(s.signature, excluded.signature)
        returning s.sequencer, s.stored_at, s.infected, s.signature
        """,
        {
            "key": key,
            "version_id": version_id,
            "infected": isinstance(finding, Infected),
            "signature": finding.signature if isinstance(finding, Infected) else None,
        },
        row=_Scan,
    )
    if scan is None or scan.sequencer is None or scan.stored_at is None:
        return None
    return Stored(key, version_id, scan.sequencer, scan.stored_at)

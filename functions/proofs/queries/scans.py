"""SQL of scans: a row for each version of an upload, with its arrival in storage and its virus scan.

Events of S3 and of the scanner come in any order and any number of times. Both lock and write the version's row, so the
second one always sees the first.
"""

from dataclasses import dataclass
from datetime import datetime

from chally.db import Tx
from proofs.malware import CleanFile, InfectedFile, ScanResult


@dataclass(frozen=True, slots=True)
class UploadVersion:
    """A version of an uploaded object, from S3's event. In a bucket without versions, `sequencer` identifies it."""

    key: str
    version_id: str | None
    sequencer: str
    stored_at: datetime

    @property
    def version(self) -> str:
        """The identifier among the versions of its object."""
        return self.version_id or self.sequencer


@dataclass(frozen=True, slots=True)
class _ScanRow:
    sequencer: str | None
    stored_at: datetime | None
    infected: bool | None
    signature: str | None


def record_arrival(tx: Tx, upload: UploadVersion) -> ScanResult | None:
    """Record that a version reached storage; return its scan result if there is one."""
    scan = tx.maybe(
        """
        insert into proofs.scans as s (proof_id, version_id, sequencer, stored_at)
        select p.id, %(version_id)s, %(sequencer)s, %(stored_at)s from proofs.proofs p where p.object_key = %(key)s
        on conflict on constraint scans_pkey
            do update set sequencer = excluded.sequencer, stored_at = excluded.stored_at
        returning s.sequencer, s.stored_at, s.infected, s.signature
        """,
        {
            "key": upload.key,
            "version_id": upload.version,
            "sequencer": upload.sequencer,
            "stored_at": upload.stored_at,
        },
        row=_ScanRow,
    )
    if scan is None or scan.infected is None:
        return None
    return InfectedFile(scan.signature or "") if scan.infected else CleanFile()


def record_result(tx: Tx, key: str, version_id: str, result: ScanResult) -> UploadVersion | None:
    """Record the scan result of a version; return the version if its arrival is recorded. Infected is final."""
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
            "infected": isinstance(result, InfectedFile),
            "signature": result.signature if isinstance(result, InfectedFile) else None,
        },
        row=_ScanRow,
    )
    if scan is None or scan.sequencer is None or scan.stored_at is None:
        return None
    return UploadVersion(key, version_id, scan.sequencer, scan.stored_at)

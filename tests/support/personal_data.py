"""A person with data in every table, for tests of the export and of deletion."""

import hashlib
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from chally import aws, clock
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

BUCKET = "uploads-test"
PHOTO = b"\xff\xd8 a photo of kari"
DEVICE = "KariPhone/7"
IP = "198.51.100.23"
NOTE = "Ran along the fjord"


@dataclass(frozen=True)
class Traces:
    """The person, their challenge, the secrets that no export may contain, and all data that deletion must remove."""

    client: Client
    challenge: dict[str, Any]
    object_key: str
    secrets: list[str]
    personal: list[str]


def leave_traces(person: SignUp, database: Database, username: str = "kari") -> Traces:
    """Sign up a person who uses every feature once; insert by SQL what takes longer."""
    client = person(username)
    user_id = client.user["id"]
    signed_in = Client(headers={"user-agent": DEVICE}, ip=IP).post(
        "/v1/auth/login", {"login": username, "password": "long enough for us"}
    )
    assert signed_in.status == 200
    challenge = client.post("/v1/challenges", challenge_body(clock.now()), idempotency_key="kari-key-1").json
    asked = client.post(
        f"/v1/challenges/{challenge['id']}/proofs",
        {
            "content_type": "image/jpeg",
            "content_length": len(PHOTO),
            "sha256": hashlib.sha256(PHOTO).hexdigest(),
            "captured_at": "2026-11-20T06:00:00Z",
            "note": NOTE,
        },
    )
    assert asked.status == 201, asked.text
    proof_id = asked.json["proof"]["id"]
    ((key,),) = database.execute("select object_key from proofs.proofs where id = %(id)s", id=proof_id)
    aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=PHOTO)
    database.execute(
        "insert into proofs.fingerprints (proof_id, challenge_id, user_id, sha256, pdq, quality, comparable)"
        " select id, challenge_id, user_id, sha256, %(pdq)s::bit(256), 100, true from proofs.proofs where id = %(id)s",
        id=proof_id,
        pdq="10110" * 51 + "1",
    )
    email = client.user["email"]
    parameters: dict[str, Any] = {"id": user_id, "email": email, "hash": b"a hash of a secret", "key": b"credential"}
    for statement in (
        "insert into identity.registrations values"
        " (%(hash)s, upper(%(email)s), 'kari_again', 'a hash of a password', 'UTC', now(), now() + interval '1 h')",
        "insert into identity.mail_links values"
        " ('magic_link', %(email)s, %(hash)s, %(id)s, %(email)s, now(), now() + interval '1 hour')",
        "insert into identity.login_failures values (sha256(convert_to(lower(%(email)s), 'UTF8')), 3, now())",
        "insert into identity.pending_sign_ins values (%(hash)s, %(id)s, now() + interval '1 hour')",
        "insert into identity.totp values (%(id)s, %(hash)s, now(), null, 7)",
        "insert into identity.backup_codes values (%(id)s, %(hash)s, now())",
        "insert into identity.passkeys (user_id, credential_id, public_key, sign_count, backed_up, name, created_at)"
        " values (%(id)s, %(key)s, %(key)s, 1, true, 'the key of kari', now())",
        "insert into identity.passkey_challenges values (%(hash)s, %(id)s, now() + interval '1 hour')",
        "insert into privacy.exports (user_id, requested_at, built_at, object_key, size, expires_at)"
        " values (%(id)s, now(), now(), 'exports/of kari.zip', 7, now() + interval '7 days')",
        "update proofs.proofs set review = 'accept', review_reason = 'kari saw it', reviewed_by = %(id)s,"
        " reviewed_at = now(), appeal = 'kari asks again', appealed_at = now() where user_id = %(id)s",
        "insert into proofs.scans (proof_id, version_id, sequencer, stored_at, infected)"
        " select id, 'v1', '1', now(), false from proofs.proofs where user_id = %(id)s",
        "insert into core.outbox (topic, payload) values ('mail', %(mail)s)",
    ):
        mail = {"template": "deletion_requested", "to": email.upper(), "values": {"token": "a token of a mail"}}
        database.execute(statement, **parameters, mail=Jsonb(mail))
    ((password_hash,),) = database.execute("select password_hash from identity.users where id = %(id)s", id=user_id)
    hashes = database.execute(
        "select hash from identity.refresh_tokens join identity.sessions s on s.id = session_id where user_id = %(id)s",
        id=user_id,
    )
    secrets = [
        password_hash,
        b"a hash of a secret".hex(),
        "a hash of a password",
        "a token of a mail",
        key,
        "exports/of kari.zip",
        *(each.hex() for (each,) in hashes),
    ]
    personal = [
        *secrets,
        username,
        email,
        DEVICE,
        IP,
        NOTE,
        hashlib.sha256(PHOTO).hexdigest(),
        hashlib.sha256(email.encode()).hexdigest(),
        b"credential".hex(),
        "kari-key-1",
        "kari saw it",
        "kari asks again",
        "2026-11-20T06:00:00",
        "10110" * 51 + "1",
    ]
    return Traces(client, challenge, key, secrets, personal)


def tables(database: Database) -> list[str]:
    """Our tables, each with its schema."""
    return [
        f"{schema}.{table}"
        for schema, table in database.execute(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'p') and c.relowner = 'chally_owner'::regrole order by 1, 2"
        )
    ]


def everything(database: Database) -> dict[str, list[str]]:
    """All rows as text, by table."""
    return {
        table: [str(row) for (row,) in database.execute(f"select to_jsonb(t)::text from {table} t")]
        for table in tables(database)
    }

"""Fixtures of the tests of proofs."""

from collections.abc import Callable
from typing import Any

import pytest

from chally import aws, clock
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.proof_uploads import BUCKET, Club


@pytest.fixture
def make_club(person: SignUp, database: Database) -> Callable[..., Club]:
    aws.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def make(**rules: Any) -> Club:
        owner, kari, miro = person("owner"), person("kari", "Europe/Oslo"), person("miro", "Asia/Tokyo")
        body = challenge_body(clock.now())
        body["rules"] |= rules
        challenge = owner.post("/v1/challenges", body).json
        for who in (kari, miro):
            assert who.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
        return Club(challenge["id"], owner, kari, miro, database)

    return make

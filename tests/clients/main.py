"""The main job with a generated client: sign in, create a challenge, join it, prove it, and read the standings.

Usage: python main.py URL OWNER MEMBER, with two logins "name:password". The generated package is on PYTHONPATH.
"""

import sys
from datetime import UTC, datetime, timedelta

from chally_client import AuthenticatedClient, Client
from chally_client.api.challenges import (
    create_challenge,
    edit_challenge,
    get_current_window,
    join_challenge,
    leave_challenge,
    list_my_challenges,
    list_standings,
)
from chally_client.api.identity import sign_in_by_password
from chally_client.api.proofs import send_proof
from chally_client.models import ChallengeEditIn, ChallengeIn, LoginIn, Problem, ProofIn

URL, *LOGINS = sys.argv[1:]
RULES = {
    "schedule": {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "00:00", "closes": "00:00"},
    "proof": {"kind": "text", "min_length": 3},
}


def sign_in(given: str) -> AuthenticatedClient:
    login, _, password = given.partition(":")
    session = sign_in_by_password.sync(client=Client(URL), body=LoginIn(login=login, password=password))
    return AuthenticatedClient(URL, session.access_token, raise_on_unexpected_status=True)


def main() -> None:
    owner, member = map(sign_in, LOGINS)
    now = datetime.now(UTC)
    body = ChallengeIn.from_dict(
        {
            "title": "Write a line",
            "status": "active",
            "late_join": True,
            "starts_at": (now - timedelta(hours=1)).isoformat(),
            "ends_at": (now + timedelta(days=7)).isoformat(),
            "rules": RULES,
        }
    )
    challenge = create_challenge.sync(client=owner, body=body, idempotency_key="python")
    assert challenge.rules.proof.kind == "text"
    assert join_challenge.sync(challenge.invite_code, client=member).is_participant
    assert get_current_window.sync(challenge.id, client=member).state == "open"
    sent = send_proof.sync(challenge.id, client=member, body=ProofIn(value="I ran."))
    assert sent.proof.status == "accepted"
    assert list_standings.sync(challenge.id, client=owner, limit=1).items[0].accepted == 1
    assert [each.title for each in list_my_challenges.sync(client=owner).items] == ["Write a line"]
    refused = edit_challenge.sync(challenge.id, client=member, body=ChallengeEditIn(title="Mine now"))
    assert isinstance(refused, Problem)
    assert refused.code == "not_owner"
    assert leave_challenge.sync_detailed(challenge.id, client=member).status_code == 204
    print("done")


main()

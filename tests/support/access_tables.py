"""Expected statuses of every route, by kind of caller: anonymous, stranger, moderator, removed, participant, owner."""

from chally import clock
from tests.support.access import Row
from tests.support.challenges import challenge_body

CHALLENGE = "/v1/challenges/{challenge_id}"
DAYS = {"from": "2027-01-01", "to": "2027-01-02"}
ALL_SIGNED_IN = "401 200 200 200 200 200"
THOSE_IN = Row("401 404 404 404 200 200", "401 403 403 403 200 200")
OWNER_ALONE = ("401 404 404 404 403 200", "401 403 403 403 403 200")

CHALLENGES = {
    "GET /v1/challenges": Row(ALL_SIGNED_IN, ALL_SIGNED_IN),
    "GET /v1/challenges/mine": Row(ALL_SIGNED_IN, ALL_SIGNED_IN),
    "GET /v1/challenges/joined": Row(ALL_SIGNED_IN, ALL_SIGNED_IN),
    "GET /v1/challenges/rules.schema.json": Row("200 200 200 200 200 200", "200 200 200 200 200 200"),
    "POST /v1/challenges": Row("401 201 201 201 201 201", "401 201 201 201 201 201", challenge_body(clock.now())),
    f"GET {CHALLENGE}": Row("401 404 404 404 200 200", ALL_SIGNED_IN),
    f"PATCH {CHALLENGE}": Row(*OWNER_ALONE, {"title": "Another"}),
    f"POST {CHALLENGE}/transitions": Row(*OWNER_ALONE, {"to": "paused"}),
    f"POST {CHALLENGE}/invite-code": Row(*OWNER_ALONE),
    # who is in already, 200; the owner always is
    "POST /v1/challenges/{ref}/join": Row("401 201 201 403 200 403", "401 201 201 403 200 403"),
    f"POST {CHALLENGE}/leave": Row("401 404 404 204 204 403", "401 403 403 204 204 403"),
    f"DELETE {CHALLENGE}/participants/{{participant_id}}": Row("401 404 404 404 403 204", "401 403 403 403 403 204"),
    f"GET {CHALLENGE}/participants": THOSE_IN,
    f"GET {CHALLENGE}/standings": THOSE_IN,
    f"GET {CHALLENGE}/windows": Row(THOSE_IN.by_code, THOSE_IN.public, query=DAYS),
    f"GET {CHALLENGE}/windows/current": THOSE_IN,
}

REFUSED_ALL = "400 400 400 400 400 400"
ACCEPTED = "401 202 202 202 202 202"
# Each call is about the caller's own account.
PRIVACY = {
    "PATCH /v1/me": Row(ALL_SIGNED_IN, ALL_SIGNED_IN, {"timezone": "Asia/Tokyo"}),
    "POST /v1/me/timezone/preview": Row(ALL_SIGNED_IN, ALL_SIGNED_IN, {"timezone": "Asia/Tokyo"}),
    "POST /v1/me/export": Row(ACCEPTED, ACCEPTED),
    "GET /v1/me/export": Row(ALL_SIGNED_IN, ALL_SIGNED_IN),
    "DELETE /v1/me": Row(ACCEPTED, ACCEPTED),
    # it takes no sign-in, but a token that we signed
    "GET /v1/notifications/unsubscribe": Row("200 200 200 200 200 200", "200 200 200 200 200 200"),
    "POST /v1/notifications/unsubscribe": Row(REFUSED_ALL, REFUSED_ALL),
}

CHALLENGE_PROOFS = "/v1/challenges/{challenge_id}/proofs"
REJECT = {"decision": "reject", "reason": "It is not you."}
PHOTO = {"content_type": "image/jpeg", "content_length": 7, "sha256": "0" * 64}

# The proof is the participant's.
PROOFS = {
    f"POST {CHALLENGE_PROOFS}": Row("401 404 404 404 201 201", "401 403 403 403 201 201", PHOTO),
    f"GET {CHALLENGE_PROOFS}": Row("401 404 200 404 200 200", "401 403 200 403 200 200"),
    "GET /v1/proofs/{proof_id}": Row("401 404 200 404 200 200", "401 404 200 404 200 200"),
    "GET /v1/proofs/{proof_id}/image": Row("401 404 307 404 307 307", "401 404 307 404 307 307"),
    "GET /v1/proofs/{proof_id}/receipt": Row("401 404 200 404 200 200", "401 404 200 404 200 200"),
    "POST /v1/proofs/{proof_id}/review": Row("401 404 200 404 403 200", "401 404 200 404 403 200", REJECT),
    # it is accepted
    "POST /v1/proofs/{proof_id}/appeal": Row("401 404 404 404 409 404", "401 404 404 404 409 404", {"message": "!"}),
    "DELETE /v1/proofs/{proof_id}": Row("401 404 404 404 204 404", "401 404 404 404 204 404"),
}

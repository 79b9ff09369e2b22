"""The demo's story: one proof from phone to verdict, and two that are caught, told over HTTP and S3 as a client would.

Every call is made for real against the running system, and printed in short. What does not happen as it should
ends the story with a LocalError.
"""

import io
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import httpx
from PIL import Image

from infra.local import photo as photos
from infra.local.photo import Photo
from infra.local.progress import LocalError, Palette

DEADLINE_SECONDS = 60.0
"""For a mail to arrive and for a verdict to fall, each; seconds are usual."""
_POLL_SECONDS = 0.1
_CALL_WIDTH = 56

RULES = {
    "version": 1,
    # Midnight to midnight, every day: open now, wherever the participant is.
    "schedule": {
        "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        "opens": "00:00",
        "closes": "00:00",
        "scope": "participant_local",
    },
    "proof": {"kind": "photo", "max_per_window": 10, "types": ["image/jpeg", "image/png", "image/webp"]},
    "scoring": {"points": 10, "streak_bonus": 1},
}

type Answer = dict[str, Any]


@dataclass
class Person:
    """Somebody with an account, and with the token that signing in gave them."""

    name: str
    username: str
    email: str
    timezone: str
    password: str = field(repr=False)
    token: str = field(default="", repr=False)


def read_photo(path: Path | None) -> Photo:
    """The newcomer's picture, or one made here, another at every run."""
    return photos.read(path) if path else photos.make(secrets.randbits(64))


def play(outputs: Mapping[str, Any], *, photo: Photo) -> None:
    """Tells the story on the system that `outputs` describes. Raises LocalError where it goes another way."""
    with httpx.Client(timeout=30) as http:
        told = Telling(http, outputs)
        run = secrets.token_hex(3)
        ana = newcomer("Ana", run, "Europe/Lisbon")
        kenji = newcomer("Kenji", run, "Asia/Tokyo")
        for person in (ana, kenji):
            told.chapter(f"{person.name} signs up, in {person.timezone}")
            sign_up(told, person)

        told.chapter("Ana makes a challenge that is open now, and activates it")
        challenge = make_challenge(told, ana)

        told.chapter("Kenji joins by the invite code, from another time zone")
        told.call(kenji, "POST", f"/v1/challenges/{challenge['invite_code']}/join", 201, {"timezone": kenji.timezone},
                  show=_fields("title", "participant_count"))  # fmt: skip
        told.call(kenji, "GET", f"/v1/challenges/{challenge['id']}/windows/current", 200,
                  show=_fields("local_date", "opens_at", "closes_at", "state"))  # fmt: skip

        told.chapter(f"Kenji proves it with a photo, {photo.name} ({len(photo.content) // 1024} KB)")
        proof = prove(told, kenji, challenge, photo)
        if _codes(proof) == ["duplicate_image"]:
            told.chapter("That photo was a proof in an earlier demo here, so Kenji takes a new one")
            photo = read_photo(None)
            proof = prove(told, kenji, challenge, photo)
        _check(photo, proof, "accepted")
        told.call(kenji, "GET", f"/v1/challenges/{challenge['id']}/standings", 200, show=_standings)

        told.chapter("Ana looks at it: a copy that does not tell where it was taken, by a link for five minutes")
        told.picture(ana, proof["id"])

        told.chapter("Ana sends the same photo")
        _check(photo, prove(told, ana, challenge, photo), "rejected", "duplicate_image")

        told.chapter("Ana renames a text file to .jpg")
        text = Photo(name="diary.jpg", content_type="image/jpeg", content=b"Dear diary, today I ran. Honestly.\n" * 20)
        _check(text, prove(told, ana, challenge, text), "rejected", "not_an_image")
        told.call(ana, "GET", f"/v1/challenges/{challenge['id']}/standings", 200, show=_standings)


def sign_up(told: "Telling", person: Person) -> None:
    """Registers, confirms the address by the mail that was sent, and signs in: gives the person their token."""
    told.call(None, "POST", "/v1/auth/register", 202, {
        "email": person.email,
        "username": person.username,
        "password": person.password,
        "timezone": person.timezone,
    }, show=_fields("detail"))  # fmt: skip
    token = told.mailed_token(person.email)
    told.call(None, "POST", "/v1/auth/verify-email", 200, {"token": token},
              show=lambda answer: _fields("username", "email_verified")(answer["user"]))  # fmt: skip
    session = told.call(None, "POST", "/v1/auth/login", 200, {"login": person.username, "password": person.password},
                        show=_fields("token_type", "expires_in"))  # fmt: skip
    person.token = session["access_token"]


def make_challenge(told: "Telling", owner: Person) -> Answer:
    """An active photo challenge that is open now; its owner takes part."""
    now = datetime.now(UTC).replace(microsecond=0)
    challenge = told.call(owner, "POST", "/v1/challenges", 201, {
        "title": "Out before breakfast",
        "description": "A photo a day from outside.",
        "visibility": "code",
        "timezone": owner.timezone,
        "starts_at": _instant(now),
        "ends_at": _instant(now + timedelta(days=7)),
        "late_join": True,
        "rules": RULES,
    }, show=_fields("status", "runtime_state", "invite_code"))  # fmt: skip
    return told.call(owner, "POST", f"/v1/challenges/{challenge['id']}/transitions", 200, {"to": "active"},
                     show=_fields("status", "runtime_state"))  # fmt: skip


def prove(told: "Telling", person: Person, challenge: Answer, file: Photo) -> Answer:
    """Asks for an upload, PUTs the file to S3, and waits for the verdict; returns the proof."""
    asked = told.call(person, "POST", f"/v1/challenges/{challenge['id']}/proofs", 201, {
        "content_type": file.content_type,
        "content_length": len(file.content),
        "sha256": file.sha256,
    }, show=lambda answer: _fields("status")(answer["proof"]))  # fmt: skip
    told.put(asked["upload"], file)
    return told.verdict(person, asked["proof"]["id"])


def _check(file: Photo, proof: Answer, status: str, *reasons: str) -> None:
    if proof["status"] != status or _codes(proof) != [*reasons]:
        raise LocalError(
            f"{file.name} was {proof['status']} ({', '.join(_codes(proof)) or 'no reason'}), "
            f"not {status} ({', '.join(reasons) or 'no reason'}).",
            "`make logs` shows what the functions did.",
        )


def _codes(proof: Answer) -> list[str]:
    return [reason["code"] for reason in proof["reasons"]]


class Telling:
    """Makes the calls, and prints each with its answer in short: method, path, status, fields, milliseconds."""

    def __init__(self, http: httpx.Client, outputs: Mapping[str, Any], out: TextIO | None = None) -> None:
        self._http = http
        self._api = outputs["api_url"]
        self._mailbox = outputs["mailbox_url"]
        self._out = out or sys.stdout
        self._palette = Palette(self._out)

    def chapter(self, title: str) -> None:
        """Begins a new part of the story."""
        self._print(f"\n{self._palette.paint(1, title)}")

    def call(
        self,
        person: Person | None,
        method: str,
        path: str,
        expect: int,
        body: Answer | None = None,
        *,
        show: Callable[[Answer], str],
    ) -> Answer:
        """One call to the API. LocalError when its status is another than expected."""
        started = time.monotonic()
        response = self._send(person, method, path, body)
        self._line(method, path, response.status_code, time.monotonic() - started)
        answer = _json(response)
        if response.status_code != expect:
            raise LocalError(
                f"{method} {path} answered {response.status_code} {answer.get('code', '')}: "
                f"{answer.get('detail', response.text[:300])} {answer.get('errors', '')}".rstrip(),
                f"Request id {answer.get('request_id', '?')}; `make logs` shows what happened.",
            )
        self._detail(show(answer))
        return answer

    def put(self, upload: Answer, file: Photo) -> None:
        """The upload itself: straight to S3, with the headers that its signature binds."""
        started = time.monotonic()
        response = self._http.request(upload["method"], upload["url"], content=file.content, headers=upload["headers"])
        path = "S3 " + httpx.URL(upload["url"]).path
        self._line(upload["method"], path, response.status_code, time.monotonic() - started)
        if not response.is_success:
            raise LocalError(f"S3 refused the upload: {response.status_code} {response.text[:500]}")

    def picture(self, person: Person, proof_id: str) -> None:
        """The picture that others see, by its link."""
        path = f"/v1/proofs/{proof_id}/image"
        started = time.monotonic()
        linked = self._send(person, "GET", path, None)
        if not linked.has_redirect_location:
            raise LocalError(f"GET {path} answered {linked.status_code}, and no link: {linked.text[:300]}")
        self._line("GET", path, linked.status_code, time.monotonic() - started)
        found = self._http.get(linked.headers["location"]).raise_for_status()
        with Image.open(io.BytesIO(found.content)) as shown:
            size = f"{shown.width} by {shown.height} pixels, {len(found.content) // 1024} KB"
            self._detail(f"{shown.format}, {size}, {len(shown.getexif()) or 'no'} EXIF tags")

    def mailed_token(self, address: str) -> str:
        """Waits for the mail to an address; returns the token in its link."""
        started = time.monotonic()
        while time.monotonic() - started < DEADLINE_SECONDS:
            accounts = self._http.get(self._mailbox).json()["messages"]
            for mail in (mail for mails in accounts.values() for mail in mails if address in mail["To"]):
                if link := re.search(r"\S+\?token=([\w.~-]+)", mail["BodyText"]):
                    self._line("mail", f"to {address}", "", time.monotonic() - started)
                    self._detail(f"“{mail['Subject']}” {_short(link[0])}")
                    return link[1]
            time.sleep(_POLL_SECONDS)
        raise LocalError(
            f"No mail came for {address} in {DEADLINE_SECONDS:.0f} s.", "`make logs FUNCTION=outbox` may say why."
        )

    def verdict(self, person: Person, proof_id: str) -> Answer:
        """Asks for the proof until it is decided; prints the last answer."""
        path = f"/v1/proofs/{proof_id}"
        started = time.monotonic()
        while time.monotonic() - started < DEADLINE_SECONDS:
            response = self._send(person, "GET", path, None)
            proof = _json(response)
            if response.status_code != httpx.codes.OK or proof["status"] not in ("awaiting_upload", "processing"):
                self._line("GET", path, response.status_code, time.monotonic() - started)
                good = proof.get("status") == "accepted"
                verdict = self._palette.paint(32 if good else 33, str(proof.get("status")))
                self._detail(
                    "; ".join([verdict, *(f"{why['code']}: {why['detail']}" for why in proof.get("reasons", []))])
                )
                return proof
            time.sleep(_POLL_SECONDS)
        raise LocalError(
            f"The proof {proof_id} has no verdict after {DEADLINE_SECONDS:.0f} s.",
            "`make logs FUNCTION=proof-verdicts` may say why.",
        )

    def _send(self, person: Person | None, method: str, path: str, body: Answer | None) -> httpx.Response:
        headers = {"authorization": f"Bearer {person.token}"} if person else {}
        return self._http.request(method, self._api + path, json=body, headers=headers)

    def _line(self, method: str, path: str, status: int | str, seconds: float) -> None:
        call = f"{method:<5} {_short(path)}"
        self._print(f"  {call:<{_CALL_WIDTH}} {status:>3} {self._palette.paint(2, f'{seconds * 1000:6.0f} ms')}")

    def _detail(self, text: str) -> None:
        if text:
            self._print(f"        {self._palette.paint(2, '→')} {text}")

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def newcomer(name: str, run: str, timezone: str) -> Person:
    """Somebody who is not known yet: names are another at every run."""
    username = f"{name.lower()}_{run}"
    return Person(
        name=name,
        username=username,
        email=f"{username}@example.com",
        timezone=timezone,
        password=secrets.token_urlsafe(18),
    )


def _fields(*names: str) -> Callable[[Answer], str]:
    """Shows these fields of an answer."""
    return lambda answer: ", ".join(
        answer[name] if name == "detail" else f"{name} {_plain(answer[name])}" for name in names
    )


def _standings(answer: Answer) -> str:
    return "; ".join(
        f"{row['rank']}. {row['username']} {row['points']} points, streak {row['current_streak']}"
        for row in answer["items"]
    )


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    """Ids, keys and tokens cut to their beginning: a reader wants to see which, not what."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9A-Za-z_-]{32,}", lambda found: found[0][:8] + "…", text)


def _instant(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _json(response: httpx.Response) -> Answer:
    try:
        return dict(response.json())
    except ValueError:
        return {}

"""The demo's story: one proof from the phone to its verdict, and two that are rejected, over HTTP and S3.

Every call is made against the running system and printed in short. An unexpected result raises ToolError.
"""

import io
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from rich.console import Console

from infra.tools import photo as photos
from infra.tools.photo import TYPES, Photo
from infra.tools.process import ToolError

PATIENCE = 60.0
"""Seconds to wait for a mail and for a verdict; either usually takes seconds."""
_POLL_SECONDS = 0.1
_CALL_WIDTH = 56

# Midnight to midnight, every day: open now, wherever the participant is.
SCHEDULE = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "00:00", "closes": "00:00"}
RULES = {
    "version": 1,
    "schedule": SCHEDULE | {"scope": "participant_local"},
    "proof": {"kind": "photo", "max_per_window": 10, "types": list(TYPES.values())},
    "scoring": {"points": 10, "streak_bonus": 1},
}


@dataclass
class Person:
    """A person with an account and, after signing in, an access token."""

    name: str
    timezone: str
    username: str = ""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        self.username = f"{self.name.lower()}_{secrets.token_hex(3)}"  # new at every run
        self.email = f"{self.username}@example.com"


def read_photo(path: Path | None) -> Photo:
    """Return the picture at a path, or a new generated one."""
    return photos.read(path) if path else photos.make(secrets.randbits(64))


def play(outputs: Mapping[str, Any], *, photo: Photo) -> None:
    """Play the story on the system that `outputs` describes."""
    with httpx.Client(timeout=30) as http:
        story = Storyteller(http, outputs)
        ana, kenji = Person("Ana", "Europe/Lisbon"), Person("Kenji", "Asia/Tokyo")
        for person in (ana, kenji):
            story.chapter(f"{person.name} signs up, in {person.timezone}")
            story.sign_up(person)

        story.chapter("Ana creates a challenge that is open now, and activates it")
        challenge = story.create_challenge(ana)
        path = f"/v1/challenges/{challenge['id']}"

        story.chapter("Kenji joins with the invite code, from another time zone")
        join = f"/v1/challenges/{challenge['invite_code']}/join"
        story.call(kenji, "POST", join, {"timezone": kenji.timezone}, 201, show="title participant_count")
        story.call(kenji, "GET", f"{path}/windows/current", show="local_date opens_at closes_at state")

        story.chapter(f"Kenji proves it with a photo, {photo.name} ({len(photo.content) // 1024} KB)")
        proof = story.prove(kenji, challenge, photo)
        if _codes(proof) == ["duplicate_image"]:
            story.chapter("That photo was a proof in an earlier demo here, so Kenji takes a new one")
            photo = read_photo(None)
            proof = story.prove(kenji, challenge, photo)
        _check(photo, proof, "accepted")
        story.standings(kenji, path)

        story.chapter(
            "Ana looks at it: a copy without the place it was taken at, by a link that works for five minutes"
        )
        story.show_picture(ana, proof["id"])

        story.chapter("Ana sends the same photo")
        _check(photo, story.prove(ana, challenge, photo), "rejected", "duplicate_image")

        story.chapter("Ana renames a text file to .jpg")
        text = Photo(name="diary.jpg", content_type="image/jpeg", content=b"Dear diary, today I ran. Honestly.\n" * 20)
        _check(text, story.prove(ana, challenge, text), "rejected", "not_an_image")
        story.standings(ana, path)


class Storyteller:
    """Makes calls and prints each with its result in short: method, path, status, milliseconds, fields."""

    def __init__(self, http: httpx.Client, outputs: Mapping[str, Any], console: Console | None = None) -> None:
        self._http = http
        self._outputs = outputs
        self._console = console or Console(highlight=False, soft_wrap=True, emoji=False)

    def chapter(self, title: str) -> None:
        """Begin a new part of the story."""
        self._console.print(f"\n{title}", style="bold", markup=False)

    def sign_up(self, person: Person) -> None:
        """Register, confirm the address with the token in the mail, and sign in."""
        account = {"email": person.email, "timezone": person.timezone}
        login = {"username": person.username, "password": person.password}
        self.call(None, "POST", "/v1/auth/register", account | login, 202, show="detail")
        token = self._mailed_token(person.email)
        self.call(None, "POST", "/v1/auth/verify-email", {"token": token}, show="user.username user.email_verified")
        session = self.call(
            *(None, "POST", "/v1/auth/login", {"login": person.username, "password": person.password}),
            show="token_type expires_in",
        )
        person.token = session["access_token"]

    def create_challenge(self, owner: Person) -> dict[str, Any]:
        """Create and activate a photo challenge that is open now; its owner takes part."""
        now = datetime.now(UTC).replace(microsecond=0)
        body = {
            "title": "Out before breakfast",
            "description": "A photo a day from outside.",
            "visibility": "code",
            "timezone": owner.timezone,
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(days=7)).isoformat(),
            "late_join": True,
            "rules": RULES,
        }
        made = self.call(owner, "POST", "/v1/challenges", body, 201, show="status runtime_state invite_code")
        path = f"/v1/challenges/{made['id']}/transitions"
        return self.call(owner, "POST", path, {"to": "active"}, show="status runtime_state")

    def prove(self, person: Person, challenge: Mapping[str, Any], file: Photo) -> dict[str, Any]:
        """Request an upload, PUT the file to S3, and wait for the verdict; return the proof."""
        body = {"content_type": file.content_type, "content_length": len(file.content), "sha256": file.sha256}
        path = f"/v1/challenges/{challenge['id']}/proofs"
        created = self.call(person, "POST", path, body, 201, show="proof.status")
        upload, started = created["upload"], time.monotonic()
        response = self._http.request(upload["method"], upload["url"], content=file.content, headers=upload["headers"])
        self._line(upload["method"], f"S3 {response.url.path}", response.status_code, started)
        if not response.is_success:
            raise ToolError(f"S3 refused the upload: {response.status_code} {response.text[:500]}")
        return self._verdict(person, created["proof"]["id"])

    def standings(self, person: Person, challenge_path: str) -> None:
        """Print the standings of a challenge."""
        page = self.call(person, "GET", f"{challenge_path}/standings", show="")
        rows = (f"{row['rank']}. {row['username']} {row['points']} points, streak {row['current_streak']}"
                for row in page["items"])  # fmt: skip
        self._detail("; ".join(rows))

    def show_picture(self, person: Person, proof_id: str) -> None:
        """Follow the link to the picture that others see, and print what it is."""
        path, started = f"/v1/proofs/{proof_id}/image", time.monotonic()
        linked = self._send(person, "GET", path)
        if not linked.has_redirect_location:
            raise ToolError(f"GET {path} returned {linked.status_code} without a link: {linked.text[:300]}")
        self._line("GET", path, linked.status_code, started)
        found = self._http.get(linked.headers["location"]).raise_for_status()
        with Image.open(io.BytesIO(found.content)) as image:
            size = f"{image.width} by {image.height} pixels, {len(found.content) // 1024} KB"
            self._detail(f"{image.format}, {size}, {len(image.getexif()) or 'no'} EXIF tags")

    def call(
        self, person: Person | None, method: str, path: str, body: Any = None, expect: int = 200, *, show: str
    ) -> dict[str, Any]:
        """Call the API and print the fields that `show` names. Raises ToolError unless it returns status `expect`."""
        started = time.monotonic()
        response = self._send(person, method, path, body)
        self._line(method, path, response.status_code, started)
        result = _json(response)
        if response.status_code != expect:
            problem = f"{result.get('detail', response.text[:300])} {result.get('errors', '')}".rstrip()
            raise ToolError(
                f"{method} {path} returned {response.status_code} {result.get('code', '')}: {problem}",
                f"Request id {result.get('request_id', '?')}; see `make logs`.",
            )
        self._detail(", ".join(_field(result, name) for name in show.split()))
        return result

    def _mailed_token(self, address: str) -> str:
        def find() -> tuple[str, str, str] | None:
            accounts = self._http.get(self._outputs["mailbox_url"]).json()["messages"]
            for mail in (mail for mails in accounts.values() for mail in mails if address in mail["To"]):
                if link := re.search(r"\S+\?token=([\w.~-]+)", mail["BodyText"]):
                    return mail["Subject"], link[0], link[1]
            return None

        started = time.monotonic()
        subject, link, token = _wait(find, f"No mail arrived for {address}", "outbox")
        self._line("mail", f"to {address}", "", started)
        self._detail(f"“{subject}” {_short(link)}")
        return token

    def _verdict(self, person: Person, proof_id: str) -> dict[str, Any]:
        def find() -> httpx.Response | None:
            response = self._send(person, "GET", path)
            waiting = _json(response).get("status") in ("awaiting_upload", "processing")
            return None if response.is_success and waiting else response

        path, started = f"/v1/proofs/{proof_id}", time.monotonic()
        response = _wait(find, f"The proof {proof_id} has no verdict", "proof-verdicts")
        proof = _json(response)
        self._line("GET", path, response.status_code, started)
        reasons = (f"{reason['code']}: {reason['detail']}" for reason in proof.get("reasons", []))
        style = "green" if proof.get("status") == "accepted" else "yellow"
        self._detail("; ".join([str(proof.get("status")), *reasons]), style)
        return proof

    def _send(self, person: Person | None, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {person.token}"} if person else {}
        return self._http.request(method, self._outputs["api_url"] + path, json=body, headers=headers)

    def _line(self, method: str, path: str, status: int | str, started: float) -> None:
        call = f"  {f'{method:<5} {_short(path)}':<{_CALL_WIDTH}} {status:>3} "
        self._console.print(call, markup=False, end="")
        self._console.print(f"{(time.monotonic() - started) * 1000:6.0f} ms", style="dim")

    def _detail(self, text: str, style: str = "") -> None:
        if text:
            self._console.print("        →", style="dim", end=" ")
            self._console.print(text, style=style, markup=False)


def _wait[Found](find: Callable[[], Found | None], failure: str, function: str) -> Found:
    deadline = time.monotonic() + PATIENCE
    while (found := find()) is None:
        if time.monotonic() > deadline:
            raise ToolError(f"{failure} after {PATIENCE:.0f} s.", f"See `make logs FUNCTION={function}`.")
        time.sleep(_POLL_SECONDS)
    return found


def _check(file: Photo, proof: dict[str, Any], status: str, *reasons: str) -> None:
    if (proof["status"], *_codes(proof)) != (status, *reasons):
        got = f"{proof['status']} ({', '.join(_codes(proof)) or 'no reason'})"
        expected = f"{status} ({', '.join(reasons) or 'no reason'})"
        raise ToolError(f"{file.name} was {got}, expected {expected}.", "See `make logs`.")


def _codes(proof: Mapping[str, Any]) -> list[str]:
    return [reason["code"] for reason in proof["reasons"]]


def _field(result: Any, dotted: str) -> str:
    name = dotted
    for name in dotted.split("."):
        result = result[name]
    if name == "detail":
        return str(result)
    return f"{name} {('no', 'yes')[result] if isinstance(result, bool) else result}"


def _short(text: str) -> str:
    """Cut ids, keys and tokens to their first characters: a reader needs to tell them apart only."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9A-Za-z_-]{32,}", lambda found: found[0][:8] + "…", text)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        return dict(response.json())
    except ValueError:
        return {}

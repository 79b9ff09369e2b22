"""A page of a named origin uploads photos and shows proofs and exports: a real browser against the deployed system."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support import browser as chromium
from tests.support.browser import Browser
from tests.support.challenges import challenge_body
from tests.support.deployed import DeployedPerson, DeployedSystem, Eventually, verdict
from tests.support.pictures import photo

PROGRAM = chromium.find()
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium"),
]
NAMED = "http://localhost:5173"  # one of the origins of the local stage (infra/settings.py)
FOREIGN = "http://localhost:5174"
SIZE = (640, 480)
SEEDS = itertools.count(2100)  # the same file is accepted once in the whole system

FETCH_PICTURE = """
async (url, init) => {
  const link = await fetch(url, init);
  if (link.status !== 200) return {status: link.status};
  const found = await link.json();
  const picture = await fetch(found.url);
  const bitmap = await createImageBitmap(await picture.blob());
  return {status: picture.status, type: picture.headers.get("content-type"),
          size: [bitmap.width, bitmap.height], said: [found.width, found.height]};
}
"""
FETCH_EXPORT = """
async (url, init) => {
  const found = await (await fetch(url, init)).json();
  if (found.status !== "ready") return null;
  const zip = await fetch(found.url);
  return [zip.status, String.fromCharCode(...new Uint8Array(await zip.arrayBuffer()).slice(0, 2))];
}
"""
UPLOAD = """
async (url, init, bytes) => {
  const asked = await (await fetch(url, init)).json();
  const {method, url: target, headers} = asked.upload;
  const body = new Uint8Array(bytes);
  const put = async () => (await fetch(target, {method, headers, body})).status;
  return {id: asked.proof.id, statuses: [await put(), await put()]};
}
"""


@pytest.fixture
def page(system: DeployedSystem) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM) as browser:
        browser.serve(NAMED)
        browser.open(f"{NAMED}/")
        yield browser


def run(page: Browser, function: str, *arguments: Any) -> Any:
    return page.evaluate(f"({function})({', '.join(map(json.dumps, arguments))})")


@pytest.fixture
def kari(person: Callable[[str], DeployedPerson]) -> DeployedPerson:
    return person("Europe/Oslo")


@pytest.fixture
def proof(kari: DeployedPerson, eventually: Eventually) -> str:
    challenge = kari.call("POST", "/v1/challenges", challenge_body(datetime.now(UTC))).json()
    proof_id = kari.prove(challenge, photo(next(SEEDS), SIZE))
    assert verdict(kari, proof_id, eventually)["status"] == "accepted"
    return proof_id


def bearer(kari: DeployedPerson) -> dict[str, Any]:
    return {"headers": {"authorization": f"Bearer {kari.token}", "accept": "application/json"}}


SHOWN = {"status": 200, "type": "image/jpeg", "size": [*SIZE], "said": [*SIZE]}


def test_a_page_shows_a_proof_with_a_bearer_token(
    page: Browser, system: DeployedSystem, kari: DeployedPerson, proof: str
) -> None:
    url = f"{system.outputs['api_url']}/v1/proofs/{proof}/image"
    assert run(page, FETCH_PICTURE, url, bearer(kari)) == SHOWN


def test_a_page_shows_a_proof_with_cookies(
    page: Browser, system: DeployedSystem, kari: DeployedPerson, proof: str
) -> None:
    api = system.outputs["api_url"]
    login = {
        "method": "POST", "credentials": "include",
        "body": json.dumps({"login": kari.username, "password": "long enough for us"}),
        "headers": {"content-type": "application/json", "x-session-transport": "cookie"},
    }  # fmt: skip
    sign_in = "async (url, init) => (await fetch(url, init)).status"
    assert run(page, sign_in, f"{api}/v1/auth/login", login) == 200
    with_cookies = {"credentials": "include", "headers": {"accept": "application/json"}}
    assert run(page, FETCH_PICTURE, f"{api}/v1/proofs/{proof}/image", with_cookies) == SHOWN


def test_a_page_downloads_an_export(
    page: Browser, system: DeployedSystem, kari: DeployedPerson, eventually: Eventually
) -> None:
    assert kari.call("POST", "/v1/me/export").status_code == 202
    url = f"{system.outputs['api_url']}/v1/me/export"
    assert eventually(lambda: run(page, FETCH_EXPORT, url, bearer(kari)), "the export") == [200, "PK"]


def test_a_page_uploads_a_photo_once(page: Browser, system: DeployedSystem, kari: DeployedPerson) -> None:
    challenge = kari.call("POST", "/v1/challenges", challenge_body(datetime.now(UTC))).json()
    data = photo(next(SEEDS), SIZE)
    digest = hashlib.sha256(data).hexdigest()
    init = {
        "method": "POST", "headers": {"authorization": f"Bearer {kari.token}", "content-type": "application/json"},
        "body": json.dumps({"content_type": "image/jpeg", "content_length": len(data), "sha256": digest}),
    }  # fmt: skip
    url = f"{system.outputs['api_url']}/v1/challenges/{challenge['id']}/proofs"
    assert run(page, UPLOAD, url, init, list(data))["statuses"] == [200, 412]


def test_a_page_of_another_origin_reads_no_picture(
    page: Browser, system: DeployedSystem, kari: DeployedPerson, proof: str
) -> None:
    """Neither the link nor the picture, if it got hold of a link."""
    found = kari.system.api.get(
        f"/v1/proofs/{proof}/image",
        headers={"authorization": f"Bearer {kari.token}", "accept": "application/json"},
    ).json()
    page.serve(FOREIGN)
    page.open(f"{FOREIGN}/")
    for url in (f"{system.outputs['api_url']}/v1/proofs/{proof}/image", found["url"]):
        with pytest.raises(AssertionError, match="Failed to fetch"):
            run(page, "async (url) => (await fetch(url)).status", url)

"""A real Chromium over the DevTools protocol, for what only a browser decides: passkeys and cookies."""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Self

import websocket

PATIENCE = 30  # seconds for one response on a busy machine; it usually takes far less
LISTENING = "DevTools listening on "
FLAGS = (
    "--headless",
    "--remote-debugging-port=0",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # a page of `Browser.serve` comes from no address, and would need a permission to call one of this machine
    "--disable-features=LocalNetworkAccessChecks",
)
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def find() -> Path | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((Path(program) for name in names if (program := shutil.which(name))), None)


class Browser:
    """One page in a browser with a new profile, which is deleted at the end."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._log: SimpleQueue[str | None] = SimpleQueue()
        self._calls = 0
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None  # the page's; until it exists, commands go to the browser
        self._served = base64.b64encode(b"<!doctype html>").decode()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            profile = stack.enter_context(tempfile.TemporaryDirectory(prefix="chally-browser-"))
            self._socket = websocket.create_connection(
                self._start(profile, stack),
                timeout=PATIENCE,
                suppress_origin=True,  # Chromium refuses clients that look like a web page
            )
            stack.callback(self._socket.shutdown)
            page = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
            self.call("Page.enable")
            self.call("Page.setLifecycleEventsEnabled", enabled=True)
            self._end = stack.pop_all()
        return self

    def __exit__(self, *args: object) -> None:
        self._end.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a DevTools command and return its result."""
        self._calls += 1
        number = self._calls
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        self._socket.send(json.dumps(command))
        answer = self._receive(lambda message: message.get("id") == number, f"the answer to {method}")
        if error := answer.get("error"):
            raise RuntimeError(f"{method}: {error['message']} {error.get('data', '')}".rstrip())
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> None:
        """Navigate and wait until the page has loaded."""
        self._events.clear()
        answer = self.call("Page.navigate", url=url)
        assert not answer.get("errorText"), f"{url}: {answer['errorText']}"
        loader = answer.get("loaderId")
        if not loader:  # only the fragment changed
            return

        def loaded(message: dict[str, Any]) -> bool:
            params = message.get("params", {})
            return bool(
                message.get("method") == "Page.lifecycleEvent"
                and params["name"] == "load"
                and params["loaderId"] == loader
            )

        if not any(map(loaded, self._events)):  # the event can precede the response
            self._receive(loaded, f"{url} to load")

    def serve(self, origin: str) -> None:
        """Answer requests to this origin with an empty page, without a server and whatever listens there."""
        self.call("Fetch.enable", patterns=[{"urlPattern": f"{origin}/*"}])

    def evaluate(self, javascript: str) -> Any:
        """Evaluate an expression in the page; if it is a promise, wait for its value."""
        answer = self.call("Runtime.evaluate", expression=javascript, awaitPromise=True, returnByValue=True)
        if details := answer.get("exceptionDetails"):
            thrown = details.get("exception", {})
            raise AssertionError(thrown.get("description") or thrown.get("value") or details["text"])
        return answer["result"].get("value")

    def cookies(self) -> list[dict[str, Any]]:
        """The cookies of every site, as DevTools describes them."""
        found: list[dict[str, Any]] = self.call("Storage.getCookies")["cookies"]
        return found

    def virtual_authenticator(self, **options: Any) -> str:
        """Add a passkey device that consents to everything and survives navigation; return its id."""
        self.call("WebAuthn.enable")
        answer = self.call("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR | options)
        return str(answer["authenticatorId"])

    def _start(self, profile: str, stack: ExitStack) -> str:
        """Start Chromium; return the address that DevTools listens on."""
        # Chromium's sandbox does not work as root
        flags = [*FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        process = subprocess.Popen(
            [self._program, *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a process group, to kill it as a whole
        )
        assert process.stderr
        # keep reading: a full pipe would block the browser
        reader = threading.Thread(target=_read, args=(process.stderr, self._log), daemon=True)
        reader.start()

        def stop() -> None:
            os.killpg(process.pid, signal.SIGKILL)  # the pid is still its own: wait() comes below
            process.wait()
            reader.join(PATIENCE)  # the log ends with the last process, which may write to the profile

        stack.callback(stop)
        said: list[str] = []
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._log.get(timeout=max(0, deadline - time.monotonic()))
            except Empty:
                raise TimeoutError(f"Chromium did not listen within {PATIENCE} s:\n{''.join(said)}") from None
            if line is None:
                raise RuntimeError(f"Chromium ended at once:\n{''.join(said)}")
            if line.startswith(LISTENING):
                return line.removeprefix(LISTENING).strip()
            said.append(line)

    def _fulfil(self, request: str) -> None:
        """Answer a request of `serve`. Nobody waits for the command's own answer."""
        self._calls += 1
        html = [{"name": "content-type", "value": "text/html"}]
        params = {"requestId": request, "responseCode": 200, "responseHeaders": html, "body": self._served}
        command = {"id": self._calls, "method": "Fetch.fulfillRequest", "params": params, "sessionId": self._session}
        self._socket.send(json.dumps(command))

    def _receive(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Return the first matching message; keep the events before it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                message: dict[str, Any] = json.loads(self._socket.recv())
            except websocket.WebSocketTimeoutException:
                raise TimeoutError(f"waited {PATIENCE} s for {what}") from None
            if message.get("method") == "Fetch.requestPaused":
                self._fulfil(message["params"]["requestId"])
                continue
            if wanted(message):
                return message
            self._events.append(message)


def _read(stream: IO[str], log: SimpleQueue[str | None]) -> None:
    with stream:
        for line in stream:
            log.put(line)
    log.put(None)

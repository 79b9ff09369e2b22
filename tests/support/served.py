"""The API on a port of this machine, for clients in other processes: each request becomes an event of API Gateway."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qsl, urlsplit

from tests.support.api import Client


@contextmanager
def served() -> Iterator[str]:
    """Serve while the block runs. Yields the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Browsers keep connections open, so each has a thread. The functions handle one request at a time."""

    turn = Lock()

    def _answer(self) -> None:
        target = urlsplit(self.path)
        length = int(self.headers.get("content-length", 0))
        raw = self.rfile.read(length) if length else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.turn, asyncio.Runner() as runner:
            asyncio.set_event_loop(runner.get_loop())  # Mangum runs on it
            response = Client(cookies=_cookies(headers.pop("cookie", ""))).call(
                self.command,
                target.path,
                raw=raw,
                query=dict(parse_qsl(target.query, keep_blank_values=True)),
                headers=headers,
            )
        body = response.text.encode()
        self.send_response(response.status)
        for name, value in response.headers.items():
            if name != "content-length":
                self.send_header(name, value)
        for line in response.cookies:
            self.send_header("set-cookie", line)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - names of http.server

    def log_request(self, *_: object) -> None:
        """Say nothing: the functions log every request."""


def _cookies(header: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in header.split("; ") if part)
    return {name: value for name, _, value in pairs}

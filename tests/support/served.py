"""The API on a port of this machine, for clients in other processes: each request becomes an event of API Gateway."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

from tests.support.api import Client


@contextmanager
def served() -> Iterator[str]:
    """Serve while the block runs, one request at a time as Lambda does. Yields the URL."""
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=_run, args=(server,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _run(server: HTTPServer) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # Mangum runs on it
    server.serve_forever(poll_interval=0.02)
    loop.close()


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        target = urlsplit(self.path)
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = Client(cookies=_cookies(headers.pop("cookie", ""))).call(
            self.command,
            target.path,
            raw=self.rfile.read(length) if length else None,
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

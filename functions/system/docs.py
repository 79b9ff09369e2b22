"""The API reference at /docs: Swagger UI from our own package, so that nothing loads from another host."""

import importlib.util
import json
from datetime import date
from functools import cache
from pathlib import Path

from system.examples import with_dates_ahead

OPENAPI = Path(__file__).with_name("openapi.json")  # written by `make openapi`
TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Paths are relative: behind a stage or a local gateway, the API is not at the root.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Chally API</title><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>
"""
# The browser may hold a session's cookies, and the API takes one credential. A call with a bearer token goes without
# cookies; any other goes with them, and with the CSRF token.
START = """
const api = new URL(".", document.baseURI).href.replace(/\\/$/, "");
const csrfToken = () =>
  document.cookie.split("; ").find((cookie) => cookie.startsWith("__Host-csrf="))?.slice("__Host-csrf=".length);
const withOneCredential = (request) => {
  request.credentials = request.headers.Authorization ? "omit" : "same-origin";
  if (!request.headers.Authorization && csrfToken()) request.headers["X-CSRF-Token"] ??= csrfToken();
  return request;
};
fetch(api + "/openapi.json").then((response) => response.json()).then((spec) => (window.ui = SwaggerUIBundle({
  spec: { ...spec, servers: [{ url: api }] }, dom_id: "#docs", deepLinking: true, persistAuthorization: false,
  requestInterceptor: withOneCredential,
})));
"""


def openapi(url: str, today: date) -> bytes:
    """The description as one server sends it: with its own URL, and with examples whose dates lie ahead."""
    document = json.loads(with_dates_ahead(OPENAPI.read_text(), today))
    document["servers"] = [{"url": url, "description": "This server"}]
    return json.dumps(document, ensure_ascii=False).encode()


@cache
def asset(name: str) -> str:
    """The text of a file of the page; `name` is a key of `TYPES`."""
    if name == "start.js":
        return START
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise LookupError("Swagger UI is missing from the vendor layer. Run `make layers`.")
    return (Path(spec.origin).parent / "static" / name).read_text()

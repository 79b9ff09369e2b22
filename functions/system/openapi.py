"""The OpenAPI document of all functions. `make openapi` writes it, and a test compares it with the code.

It is written at build time, so the function that serves it does not import the other contexts.
"""

import json
from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute, iter_route_contexts

import challenges.routes
import identity.routes
import privacy.routes
import proofs.routes
import system.routes
from chally.http import application
from system import glossary, operations, schemas
from system.docs import OPENAPI

CONTEXTS = (system, identity, challenges, proofs, privacy)
DESCRIPTION = """Set challenges, prove every day that you did them, and be ranked fairly.

- Sign in with `POST /v1/auth/login`, then send `Authorization: Bearer …`. Browsers may use cookies instead: send
  `X-Session-Transport: cookie` when signing in, and the cookie `__Host-csrf` as `X-CSRF-Token` with every write.
- Errors are `application/problem+json` (RFC 9457). Each operation lists its codes, which do not change.
- Unknown fields and unknown query parameters are refused. Pages for people ignore unknown parameters.
- Lists return `{items, has_more, next_cursor}`. Writes that take `Idempotency-Key` are safe to repeat.
- Instants are RFC 3339 in UTC, dates are YYYY-MM-DD, time zones are IANA names. Bodies are JSON of at most 1 MB.
- `HEAD` answers as `GET` without a body.
"""
# The function that serves the document names its own URL instead.
LOCAL = {"url": "http://localhost:4566/_aws/execute-api/chally", "description": "A system on your machine (make up)"}


def merged() -> dict[str, Any]:
    """Merge the documents of all contexts. Raises ValueError if two define an operation or a schema differently."""
    documents = [application(context.routes.router, {}).openapi() for context in CONTEXTS]
    whole = documents[0]
    for document in documents[1:]:
        for path, described in document["paths"].items():
            _merge(whole["paths"].setdefault(path, {}), described, path)
        for kind, components in document.get("components", {}).items():
            _merge(whole.setdefault("components", {}).setdefault(kind, {}), components, kind)
    paths = dict(sorted(whole["paths"].items()))
    components = whole["components"]
    for method, path, route in _routes():
        operations.describe(method, paths[path][method], route, components)
    schemas.describe(components["schemas"])
    return schemas.renamed(
        {
            "openapi": whole["openapi"],
            "info": {
                "title": "Chally",
                "version": "v1",
                "description": DESCRIPTION,
                "license": {"name": "MIT", "url": "https://opensource.org/license/mit"},
                "contact": {"name": "Chally", "url": "https://chally.example"},
            },
            "servers": [LOCAL],
            "security": operations.EITHER_CREDENTIAL,
            "tags": [{"name": name, "description": text} for name, text in glossary.TAGS.items()],
            "paths": paths,
            "components": components,
        }
    )


def _routes() -> Iterator[tuple[str, str, APIRoute]]:
    for context in CONTEXTS:
        for route in iter_route_contexts(context.routes.router.routes):
            assert isinstance(route.original_route, APIRoute)
            for method in route.methods or ():
                yield method.lower(), str(route.path), route.original_route


def _merge(into: dict[str, Any], more: dict[str, Any], where: str) -> None:
    for name, value in more.items():
        if into.setdefault(name, value) != value:
            raise ValueError(f"two contexts define {name} of {where} differently")


def text() -> str:
    """The text of the committed file."""
    return json.dumps(merged(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OPENAPI.write_text(text())

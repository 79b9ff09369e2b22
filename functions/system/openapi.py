"""The one OpenAPI document, merged over the functions. `make openapi` writes it; a test holds it to the code.

It is made at build time: the function that serves it imports none of the other contexts.
"""

import json
from typing import Any

import challenges.routes
import identity.routes
import proofs.routes
import system.routes
from chally.http import application
from system.docs import OPENAPI


def merged() -> dict[str, Any]:
    """The document of all contexts. ValueError where two of them claim one operation or one schema name."""
    routers = (system.routes.router, identity.routes.router, challenges.routes.router, proofs.routes.router)
    documents = [application(router, {}).openapi() for router in routers]
    whole = documents[0]
    whole["info"] = {
        "title": "Chally",
        "version": "v1",
        "description": "Set challenges, prove every day that you did them, be ranked fairly.",
    }
    for document in documents[1:]:
        for path, operations in document["paths"].items():
            _merge(whole["paths"].setdefault(path, {}), operations, path)
        for kind, components in document.get("components", {}).items():
            _merge(whole.setdefault("components", {}).setdefault(kind, {}), components, kind)
    whole["paths"] = dict(sorted(whole["paths"].items()))
    for operations in whole["paths"].values():
        for method, operation in operations.items():
            _describe(method, operation)
    return whole


def _describe(method: str, operation: dict[str, Any]) -> None:
    """What FastAPI cannot know: errors are problems (RFC 9457), and only writes take an idempotency key."""
    error = operation["responses"].get("default", {}).get("content", {})
    if "application/json" in error:
        error["application/problem+json"] = error.pop("application/json")
    if method == "get" and "parameters" in operation:
        operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "idempotency-key"]


def _merge(into: dict[str, Any], more: dict[str, Any], where: str) -> None:
    for name, value in more.items():
        if into.setdefault(name, value) != value:
            raise ValueError(f"two contexts define {name} of {where} differently")


def text() -> str:
    """The document as it is committed."""
    return json.dumps(merged(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OPENAPI.write_text(text())

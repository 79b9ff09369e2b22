"""The OpenAPI document of all functions. `make openapi` writes it, and a test compares it with the code.

It is written at build time, so the function that serves it does not import the other contexts.
"""

import json
from typing import Any

import challenges.routes
import identity.routes
import privacy.routes
import proofs.routes
import system.routes
from chally.http import application
from system.docs import OPENAPI


def merged() -> dict[str, Any]:
    """Merge the documents of all contexts. Raises ValueError if two define an operation or a schema differently."""
    contexts = (system, identity, challenges, proofs, privacy)
    documents = [application(context.routes.router, {}).openapi() for context in contexts]
    whole = documents[0]
    whole["info"] = {
        "title": "Chally",
        "version": "v1",
        "description": "Set challenges, prove every day that you did them, and be ranked fairly.",
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
    """Add what FastAPI does not know: errors are problems (RFC 9457), and only writes accept an idempotency key."""
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
    """The text of the committed file."""
    return json.dumps(merged(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OPENAPI.write_text(text())

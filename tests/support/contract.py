"""What the API's description says of errors, held against every response that the tests get."""

import json
import re
from functools import cache

from system.docs import OPENAPI

# Not of an operation: paths and methods that do not exist.
ELSEWHERE = {(404, "not_found"), (405, "method_not_allowed")}

ID = "01a222ea-7d51-7c3e-9b0a-3f4e5d6c7b8a"  # of nothing


def filled(path: str) -> str:
    """A path of the description with a value for each of its parameters."""
    return re.sub(r"\{\w+\}", ID, path.replace("{name}", "start.js"))


def check(method: str, path: str, status: int, content_type: str | None, text: str) -> None:
    """Raise AssertionError for a problem whose code the operation does not list."""
    if content_type != "application/problem+json" or not text:
        return
    code = json.loads(text)["code"]
    listed = _codes("get" if method == "HEAD" else method.lower(), path)
    assert (status, code) in listed | ELSEWHERE, (
        f"{method} {path} answered {status} {code}, which its description does not list. Run `make openapi`; if that"
        " does not help, say it in the docstring of the function whose statement raises it: Raises `TheError`."
    )


@cache
def _operations() -> list[tuple[re.Pattern[str], str, set[tuple[int, str]]]]:
    document = json.loads(OPENAPI.read_text())
    found = []
    for path in sorted(document["paths"], key=lambda each: each.count("{")):  # fixed paths first
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        for method, operation in document["paths"][path].items():
            codes = set()
            for status, response in operation["responses"].items():
                if "$ref" in response:
                    response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
                examples = response.get("content", {}).get("application/problem+json", {}).get("examples", {})
                codes |= {(int(status), code) for code in examples}
            found.append((pattern, method, codes))
    return found


def _codes(method: str, path: str) -> set[tuple[int, str]]:
    matching = (codes for pattern, its, codes in _operations() if its == method and pattern.fullmatch(path))
    return next(matching, set())

"""Which methods a path has: for the header Allow, and for a word in the place of an id."""

import re
from collections.abc import Mapping, Sequence

from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path


class Methods:
    """The methods of the paths of a context. `elsewhere`: those of its paths that another function serves."""

    def __init__(self, router: APIRouter, elsewhere: Mapping[str, Sequence[str]]) -> None:
        found: dict[str, set[str]] = {path: set(methods) for path, methods in elsewhere.items()}
        for route in iter_route_contexts(router.routes):
            found.setdefault(str(route.path), set()).update(route.methods or ())
        for methods in found.values():
            if "GET" in methods:
                methods.add("HEAD")  # see chally.middleware
        self._fixed = {path: methods for path, methods in found.items() if "{" not in path}
        self._patterns: list[tuple[re.Pattern[str], set[str]]] = [
            (compile_path(path)[0], methods) for path, methods in found.items() if "{" in path
        ]

    def of(self, path: str) -> str:
        """The value of Allow for a path: a fixed path's own methods, or else those of every pattern that it matches."""
        matching = [methods for pattern, methods in self._patterns if pattern.match(path)]
        return ", ".join(sorted(self._fixed.get(path) or set().union(*matching)))

    def is_fixed(self, path: str) -> bool:
        """Whether the path itself exists, such as /v1/challenges/mine beside /v1/challenges/{challenge_id}."""
        return path in self._fixed

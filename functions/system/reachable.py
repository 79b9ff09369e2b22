"""What a route can reach in our code: the functions it calls, and the errors that these raise.

It is read from the source: what a function names, and the errors that its docstring says it raises, which covers calls
that the source alone does not resolve, such as constraints of the database. A test compares it with every response that
the tests get.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, get_args

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from chally.errors import AppError, SessionEnded, Unauthenticated

OURS = ("chally", "identity", "challenges", "proofs", "notifications", "privacy", "system")
_RAISES = re.compile(r"[Rr]aises?\b[^.]*(?:\.(?=\w)[^.]*)*")
_NAME = re.compile(r"`(?:\w+\.)*(\w+)`")


@dataclass
class Reachable:
    functions: set[FunctionType] = field(default_factory=set)
    errors: set[type[AppError]] = field(default_factory=set)


def of_route(route: APIRoute) -> Reachable:
    """Everything that a route's function and its dependencies reach."""
    found = Reachable()
    for call in _calls(route.dependant):
        _follow(call, found)
    if Unauthenticated in found.errors:
        found.errors.add(SessionEnded)  # by the transaction of an actor; see `_follow`
    return found


def error_classes() -> dict[str, type[AppError]]:
    """Every error class of the modules imported so far, by name."""
    return {each.__name__: each for each in _subclasses(AppError)}


def _subclasses(base: type[AppError]) -> Iterator[type[AppError]]:
    for each in base.__subclasses__():
        if _is_ours(each):
            yield each
            yield from _subclasses(each)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


def _is_ours(what: object) -> bool:
    return str(getattr(what, "__module__", "")).partition(".")[0] in OURS


def _follow(what: object, found: Reachable) -> None:
    function = inspect.unwrap(what) if callable(what) else what
    if not isinstance(function, FunctionType) or not _is_ours(function) or function in found.functions:
        return
    found.functions.add(function)
    named = error_classes()
    names = _Names(function)
    names.visit(_source(function))
    for sentence in _RAISES.findall(inspect.getdoc(function) or ""):
        names.errors |= {named[name] for name in _NAME.findall(sentence) if name in named}
    if function.__module__ == "chally.db":
        names.errors.discard(SessionEnded)  # which a transaction without an actor cannot raise
    found.errors |= names.errors
    for each in names.functions:
        _follow(each, found)


@cache
def _source(function: FunctionType) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # made at run time, as the methods of dataclasses, or a part of an expression
        return ast.Module(body=[], type_ignores=[])


class _Names(ast.NodeVisitor):
    """The functions that a function names, and the errors that it raises or makes."""

    def __init__(self, function: FunctionType) -> None:
        self.functions: list[object] = []
        self.errors: set[type[AppError]] = set()
        closure = inspect.getclosurevars(function)
        self._known: dict[str, object] = {**function.__globals__, **closure.nonlocals}
        # a parameter stands for its type: its methods and properties are reached through it
        for name, annotation in inspect.get_annotations(function).items():
            self._known[name] = _plain_type(annotation)

    def visit_Raise(self, node: ast.Raise) -> None:
        for part in ast.walk(node):
            self._add_error(part)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._add_error(node.func)
        made = self._resolve(node.func)
        if isinstance(made, type) and _is_ours(made):
            self.functions += [vars(made).get("__init__"), vars(made).get("__post_init__")]
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._add(self._resolve(node))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._add(self._resolve(node))
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        for part in node.body:  # not its type: what is caught is not raised here
            self.visit(part)

    def _add(self, what: object) -> None:
        self.functions.append(what.fget if isinstance(what, property) else getattr(what, "__func__", what))

    def _add_error(self, node: ast.AST) -> None:
        what = self._resolve(node)
        if isinstance(what, type) and issubclass(what, AppError):
            self.errors.add(what)

    def _resolve(self, node: ast.AST) -> object:
        if isinstance(node, ast.Name):
            return self._known.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            if isinstance(owner, ModuleType) and owner.__name__.partition(".")[0] in OURS:
                return getattr(owner, node.attr, None)
            if isinstance(owner, type) and _is_ours(owner):
                return inspect.getattr_static(owner, node.attr, None)
        return None


def _plain_type(annotation: object) -> object:
    """The class of `Annotated[Class, …]`."""
    arguments = get_args(annotation)
    return _plain_type(arguments[0]) if arguments and not isinstance(annotation, type) else annotation

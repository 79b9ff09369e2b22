"""Rules of the source tree that no linter checks."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("functions", "layers/core/python")


def modules(*directories: str) -> Iterator[tuple[str, ast.Module]]:
    """The path of every Python module below the directories, relative to the root, and its syntax tree."""
    for directory in directories:
        for path in sorted((ROOT / directory).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def test_no_public_class_name_is_defined_twice() -> None:
    places = defaultdict(list)
    for path, module in modules(*SOURCES):
        for node in module.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert len(places) > 100
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_test_module_imports_another() -> None:
    """What tests share is in tests/support; conftest.py has fixtures only."""
    imports = [
        (path, name)
        for path, module in modules("tests")
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom)
        for name in (node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names))
    ]
    wrong = [
        (path, name)
        for path, name in imports
        if name.startswith("tests.") and (name.split(".")[-1].startswith("test_") or "conftest" in name)
    ]
    assert len(imports) > 100
    assert wrong == []

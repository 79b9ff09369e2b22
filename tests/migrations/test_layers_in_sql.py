"""Contexts look downward only, in SQL as in Python (`layers` of import-linter in pyproject.toml)."""

import ast
import re

import pytest

from migrations import objects
from migrations.objects import SqlFile

# Schemas of one level may read each other's tables: notifications need the address of an account.
LEVELS = ({"core"}, {"identity", "notifications"}, {"challenges"}, {"proofs"}, {"privacy"})
_COMMENT = re.compile(r"--.*")


def level(schema: str) -> int:
    return next(number for number, schemas in enumerate(LEVELS) if schema in schemas)


def test_every_schema_has_a_level() -> None:
    assert sorted(set().union(*LEVELS)) == sorted(objects.SCHEMAS)


@pytest.mark.parametrize("file", objects.files(), ids=lambda file: file.name)
def test_a_file_mentions_no_schema_above_its_own(file: SqlFile) -> None:
    own = level(file.name.split("/")[0])
    text = _COMMENT.sub("", file.text)
    above = {schema for schema in objects.SCHEMAS if level(schema) > own and re.search(rf"\b{schema}\.", text)}
    assert above == set()


@pytest.mark.parametrize("file", objects.files(), ids=lambda file: file.name)
def test_a_file_requires_no_file_above_its_own(file: SqlFile) -> None:
    own = level(file.name.split("/")[0])
    assert [name for name in file.requires if level(name.split("/")[0]) > own] == []


_TABLE = re.compile(rf"\b(?:from|join|into|update|using|select)\s+({'|'.join(objects.SCHEMAS)})\.\w", re.IGNORECASE)


def test_statements_in_python_read_no_schema_above_their_own() -> None:
    sources = [*(objects.CORE.parent).glob("*.py"), *objects.FUNCTIONS.rglob("*.py")]
    found = set()
    for source in sources:
        context = "core" if source.parent == objects.CORE.parent else source.relative_to(objects.FUNCTIONS).parts[0]
        if context not in objects.SCHEMAS:
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                schemas = {schema for schema in _TABLE.findall(node.value) if level(schema) > level(context)}
                name = source.name if context == "core" else str(source.relative_to(objects.FUNCTIONS))
                found |= {(name, schema) for schema in schemas}
    assert found == set()

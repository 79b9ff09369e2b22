"""Contexts look downward only, in SQL as in Python (`layers` of import-linter in pyproject.toml)."""

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

"""Mutations of the source: small changes, each of which some test should notice.

Python is changed by its syntax tree, SQL by its tokens. (mutmut changes Python functions only; half of our rules are
SQL functions, policies and grants.)
"""

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TARGETS = {
    "rules": ["functions/*/rules.py", "functions/*/rules/*.py", "functions/challenges/score.py"],
    "sessions": [
        *(f"functions/identity/{name}.py" for name in ("sessions", "links", "lockout", "sign_in", "second_factors")),
        *(f"layers/core/python/chally/{name}.py" for name in ("access_tokens", "actor", "idempotency", "ratelimit")),
    ],
    "sql": ["functions/*/sql/*.sql", "layers/core/python/chally/sql/*.sql"],
}
"""Group → its files. A third of the mutants is drawn from each group, and as many from each of its files."""


@dataclass(frozen=True)
class Mutant:
    """The text from `start` to `end` of a file becomes `text`. `names`: what it belongs to, to find its tests."""

    path: str
    line: int
    start: int
    end: int
    text: str
    what: str
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{self.path}:{self.line} {self.what}"

    def apply(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]


def of_file(root: Path, path: Path) -> list[Mutant]:
    """Every mutant of a file, in the order of its text."""
    name, source = str(path.relative_to(root)), path.read_text()
    found = _of_python(name, source) if path.suffix == ".py" else _of_sql(name, source)
    return sorted(found, key=lambda each: (each.start, each.what))


_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


def _of_python(path: str, source: str) -> Iterator[Mutant]:
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    characters = source.encode()

    def place(line: int, column: int) -> int:
        return len(characters[: starts[line - 1] + column].decode())

    def visit(node: ast.AST, names: tuple[str, ...]) -> Iterator[Mutant]:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = (*names, node.name)
        if isinstance(node, (ast.expr, ast.stmt)):
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            start, end = place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)
            for text, what in _changes(node):
                yield Mutant(path, node.lineno, start, end, text, what, names)
        for field, value in ast.iter_fields(node):
            if field not in ("annotation", "returns", "decorator_list", "type_params"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST) and not isinstance(child, ast.AnnAssign | ast.JoinedStr):
                        yield from visit(child, names)

    yield from visit(ast.parse(source), ())


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[str, str]]:
    """The texts that can stand in a node's place, and what each does."""
    before = ast.unparse(node)
    short = before if len(before) <= 80 else f"{before[:77]}..."
    match node:
        case ast.Compare(ops=[op]):
            changed = copy.deepcopy(node)
            changed.ops = [_COMPARISONS[type(op)]()]
            yield f"({ast.unparse(changed)})", f"`{short}` became `{ast.unparse(changed)}`"
        case ast.BoolOp(values=values):
            for index in range(len(values)):
                rest = ast.BoolOp(node.op, [value for i, value in enumerate(values) if i != index])
                yield f"({ast.unparse(rest)})", f"`{short}` lost `{ast.unparse(values[index])}`"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"({ast.unparse(operand)})", f"`{short}` lost its `not`"
        case ast.Constant(value=bool() as value):
            yield str(not value), f"{value} became {not value}"
        case ast.Constant(value=int() as number):
            yield str(number + 1), f"{number} became {number + 1}"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return None", f"`{short}` became `return None`"
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield "pass", f"`{short}` was removed"


_TOKEN = re.compile(
    r"(?P<skip>--[^\n]*|\s+)|(?P<string>'(?:[^']|'')*')|(?P<word>[a-z_][\w.]*)|(?P<number>\d+)"
    r"|(?P<operator><<|>>|<=|>=|<>|=>|:=|->>|#>>|->|\|\||::|[<>=])|(?P<other>\$\$|.)",
    re.IGNORECASE | re.DOTALL,
)
_CONDITIONS = {"where", "and", "or", "on", "when", "if", "elsif", "using", "check", "not", "return", "having"}
_CLAUSES = _CONDITIONS | {"set", "select", "values", "from", "returning", "by", "join", "insert", "into", "update"}
_END_OF_CONJUNCT = {
    *("and", "or", "then", "order", "group", "limit", "returning", "for", "union", "on", "where", "with", "when"),
    *("else", "end", "left", "join", "cross", "loop", "offset"),
}
_SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "<>": "=", "true": "false", "false": "true", "and": "or"}
_STATEMENT = re.compile(r"^(?:create|revoke|grant)\b.*?(?=^(?:create|revoke|grant|drop)\b|^--|\Z)", re.M | re.S | re.I)
_BODY = re.compile(r"\$\$|\bbegin\b|\breturn\b", re.IGNORECASE)
_NAME = re.compile(r"(?:^create.*?(?:function|view)|\bon(?: function)?)\s+(\w+\.\w+)", re.IGNORECASE)


def _of_sql(path: str, source: str) -> Iterator[Mutant]:
    for statement in _STATEMENT.finditer(source):
        names = tuple(_NAME.findall(_BODY.split(statement[0])[0]))
        tokens = [each for each in _TOKEN.finditer(source, statement.start(), statement.end()) if not each["skip"]]
        for start, end, text, what in _sql_changes(source, tokens):
            line = source.count("\n", 0, start) + 1
            yield Mutant(path, line, start, end, text, " ".join(what.split()), names)


def _sql_changes(source: str, tokens: list[re.Match[str]]) -> Iterator[tuple[int, int, str, str]]:
    clause = between = ""
    depths = _depths(tokens)
    for index, token in enumerate(tokens):
        word = token[0].lower()
        before = tokens[index - 1][0].lower() if index else ""
        around = source[tokens[max(0, index - 4)].start() : tokens[min(len(tokens) - 1, index + 4)].end()]
        if word == "between":
            between = word
        elif word == "and" and between:  # of `between … and …`
            between = ""
            continue
        if word == "raise" or (word in _CLAUSES and clause != "raise") or word == ";":
            clause = word  # the options of `raise … using` are no conditions
        if word == "=" and clause in _CONDITIONS:
            yield token.start(), token.end(), "<>", f"`=` became `<>` in `{around}`"
        elif word in _SWAPS and (clause in _CONDITIONS or word in ("true", "false")):
            yield token.start(), token.end(), _SWAPS[word], f"`{word}` became `{_SWAPS[word]}` in `{around}`"
        if token["number"] and before not in ("[", ","):
            yield token.start(), token.end(), str(int(word) + 1), f"{word} became {int(word) + 1} in `{around}`"
        if before == "interval" and token["string"]:
            longer = re.sub(r"\d+", lambda number: str(int(number[0]) + 1), token[0])
            yield token.start(), token.end(), longer, f"{token[0]} became {longer} in `{around}`"
        if word == "not" and (before == "is" or tokens[index + 1][0].lower() == "exists"):
            yield token.start(), token.end(), "", f"`not` was removed in `{around}`"
        if word == "null" and before == "is":
            yield token.start(), token.end(), "not null", f"`is null` became `is not null` in `{around}`"
        if word == "public" and before == "from":
            yield token.start(), tokens[index + 1].end(), "", "`public` was not revoked"
        if word == "and":
            end = next(
                (
                    later
                    for later in range(index + 1, len(tokens))
                    if depths[later] < depths[index]
                    or (depths[later] == depths[index] and tokens[later][0].lower() in {*_END_OF_CONJUNCT, ",", ";"})
                ),
                None,
            )
            if end is not None:
                stop = tokens[end - 1].end()
                yield token.start(), stop, "", f"`{source[token.start() : stop]}` was removed"


def _depths(tokens: list[re.Match[str]]) -> list[int]:
    """How many parentheses and cases are open at each token; a closing one counts as outside."""
    depths, depth = [], 0
    for token in tokens:
        depth -= token[0] == ")"
        depths.append(depth)
        depth += token[0] == "("
    return depths

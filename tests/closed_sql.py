"""What looks like SQL outside its one home, found in the source of a module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

_VERB = (
    "select|insert|update|delete|replace|with|values|create|alter|drop|pragma|attach|detach|"
    "begin|commit|rollback|savepoint|release|vacuum|reindex|analyze|explain"
)
# A statement begins with a verb, in any case; a part of one has a clause, which prose has not.
_BEGINNING = rf"\s*({_VERB})(\s+[\w*({{'\"+?.]|\s*$)"
_STATEMENT = re.compile(_BEGINNING, re.IGNORECASE)
_PLAIN_STATEMENT = re.compile(_BEGINNING.replace(_VERB, _VERB.upper()))
_CLAUSE = re.compile(
    r"(^|[\s)])(FROM|WHERE|VALUES|ORDER BY|GROUP BY|LIMIT|OFFSET|UNION|JOIN|SET|LIKE|INTO|IN|AND|"
    r"OR)([\s(]|$)"
)
_IN_LOWER_CASE = re.compile(
    r"\b(select\b.*\bfrom|insert\s+into|delete\s+from|drop\s+table|where\s+\w+\s*=|"
    r"update\s+\w+\s+set|order\s+by|union\s+select)\b",
    re.IGNORECASE | re.DOTALL,
)
_MAKING = {"format", "format_map", "join", "replace", "substitute", "safe_substitute"}
_EXECUTING = {"execute", "executemany", "executescript"}
_HOME = {"sql", "pragmas"}
# What prose quotes.
_QUOTED = re.compile(r"`[^`]*`")


def built(source: str) -> Iterator[tuple[str, int, str]]:
    """Texts that are put together and look like SQL: function, line, text."""
    for function, node in _nodes(ast.parse(source)):
        text = _built_text(node)
        if text is not None and looks_like_sql(text):
            yield function, node.lineno, text


def constant(source: str) -> Iterator[tuple[str, int, str]]:
    """Texts that begin as a statement does, but those of documentation."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for function, node in _nodes(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in prose else None
        if isinstance(text, str) and is_sql(text):
            yield function, node.lineno, text


def executed(source: str) -> Iterator[tuple[str, int, str]]:
    """What is executed and is neither from the home of SQL, nor a variable, nor constant."""
    for function, node in _nodes(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in _EXECUTING:
            argument = node.args[0]
            if not _is_from_home(argument):
                yield function, node.lineno, ast.unparse(argument)


def interpolated_parameters(source: str) -> Iterator[tuple[str, str]]:
    """In the home: arguments of functions, but counts, that become a part of a text as they are."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            given = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
            for node in ast.walk(function):
                if isinstance(node, ast.FormattedValue) and _name(node.value) in given:
                    yield function.name, _name(node.value)


def is_sql(text: str) -> bool:
    """Whether a constant text is a statement; titles begin with a verb, too, but in lower case."""
    return any(look(text) for look in (_PLAIN_STATEMENT.match, _IN_LOWER_CASE.search))


def looks_like_sql(text: str) -> bool:
    """Whether a text, `{}` for what is filled in, is SQL or a part of it."""
    text = _QUOTED.sub("", text)
    return any(look(text) for look in (_STATEMENT.match, _CLAUSE.search, _IN_LOWER_CASE.search))


def literals(source: str) -> Iterator[str]:
    """The short texts of Cython source, without documentation and comments."""
    without = re.sub(r'"""(?s:.*?)"""|#[^\n]*', "", source)
    yield from (match[2] for match in re.finditer(r"""(["'])((?:\\.|(?!\1)[^\\\n])*)\1""", without))


def _nodes(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.expr]]:
    for node in ast.iter_child_nodes(tree):
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(node, ast.expr):
            yield inner, node
        yield from _nodes(node, inner)


def _built_text(node: ast.AST) -> str | None:
    """The constant parts of a text that is put together; None where it is none."""
    if isinstance(node, ast.JoinedStr):
        parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in node.values]
        return "".join(map(str, parts)) if "{}" in parts else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return _constants(node)
    if isinstance(node, ast.Call) and _name(node.func) in _MAKING:
        return _constants(node)
    return None


def _constants(node: ast.AST) -> str | None:
    inner = [n for n in ast.walk(node) if isinstance(n, ast.Constant)]
    texts = [n.value for n in inner if isinstance(n.value, str)]
    return "{}".join(texts) if texts else None


def _is_from_home(node: ast.expr) -> bool:
    """A name, also of `sql` or `pragmas`, or what a function of theirs makes."""
    if isinstance(node, ast.Starred):
        return _is_from_home(node.value)
    if isinstance(node, ast.Call | ast.Subscript):
        inner = node.func if isinstance(node, ast.Call) else node.value
        return isinstance(inner, ast.Name) or _is_from_home(inner)
    if isinstance(node, ast.Attribute):
        owner = _name(node.value)
        return owner in _HOME or owner == "self"
    return isinstance(node, ast.Name | ast.Constant)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""

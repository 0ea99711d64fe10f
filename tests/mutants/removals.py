"""Mutants that lack one statement: a `raise`, a call, a `yield`, or a `return` inside a branch.

cosmic-ray removes no statement. It changes `if x: raise` to `if not x: raise`, with which any test of a good input
fails, so such a mutant does not say whether a test has a bad input.
"""

import ast
from collections.abc import Iterator

BRANCHES = ast.If | ast.For | ast.While | ast.Try | ast.match_case


def removals(source: str) -> Iterator[str]:
    """Yield the source without one statement, for each statement that can go.

    >>> print(*removals("if x > 1:\\n    raise ValueError(x)\\n"))
    if x > 1:
        pass
    <BLANKLINE>
    """
    lines = source.splitlines(keepends=True)
    for statement in _removable(ast.parse(source)):
        first, end = statement.lineno - 1, statement.end_lineno or statement.lineno
        kept = lines[first].encode()[: statement.col_offset].decode()
        if kept.isspace() or not kept:
            yield "".join([*lines[:first], f"{kept}pass\n", *lines[end:]])


def _removable(node: ast.AST, *, in_branch: bool = False) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Raise() | ast.Expr(ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()):
                yield child
            case ast.Return(value=ast.expr()) if in_branch:
                yield child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _removable(child)
        else:
            yield from _removable(child, in_branch=in_branch or isinstance(child, BRANCHES))

"""Writes mutants of a module with one small change each: `python -m tests.mutants.changes MODULE FOLDER`.

`<` becomes `<=`, `and` becomes `or`, a number grows by one, a decorator is gone. cosmic-ray makes the changes, so this
runs in the environment `mutants`.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

LEFT_OUT = re.compile(
    "core/ReplaceBinaryOperator_(?!Add_Sub$|Sub_Add$|Mul_Div$|Div_Mul$|Mod_FloorDiv$|FloorDiv_Mul$)"
    "|core/ReplaceComparisonOperator_(?!Eq_NotEq$|NotEq_Eq$|Lt_(LtE|Gt)$|LtE_(Lt|Gt)$|Gt_(GtE|Lt)$|GtE_(Gt|Lt)$"
    "|Is_IsNot$|IsNot_Is$|In_NotIn$|NotIn_In$)"
)
"""Operators of cosmic-ray that are left out: of a dozen ways to replace one operator, one or two are kept.

`A | B` stands almost only in annotations, which nothing runs, so it is not replaced.
"""


def changes(source: str) -> Iterator[str]:
    """Yield the source with one change, for each change that cosmic-ray's operators can make."""
    tree = get_ast(source)
    for name in operator_names():
        operator = get_operator(name)
        if LEFT_OUT.match(name) or operator.arguments():
            continue
        places = sum(1 for node in ast_nodes(tree) for _ in operator().mutation_positions(node))
        for place in range(places):
            try:
                changed = mutate_code(source, operator(), place)
            except AttributeError:
                # cosmic-ray fails on a dotted name among several exceptions.
                continue
            # That nothing assigns to a frozen record is for mypy to check.
            if changed not in (None, source) and "frozen=False" not in changed:
                yield changed


if __name__ == "__main__":
    module, folder = map(Path, sys.argv[1:])
    for number, text in enumerate(changes(module.read_text(encoding="utf-8"))):
        (folder / f"change-{number:04}.py").write_text(text, encoding="utf-8")

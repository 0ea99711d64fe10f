"""The architectures that llama.cpp's converter supports.

They are the keys of a table in the converter's source, which is parsed and not imported: importing it takes torch, and
the control environment has none.
"""

import ast
from pathlib import Path

from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import NotFound

TABLE = "TEXT_MODEL_MAP"


def supported_architectures() -> frozenset[str] | None:
    """Return the supported architectures, as config.json spells them. Return None if llama.cpp is not built here."""
    try:
        tree = llama_cpp().tree
    except NotFound:
        return None
    return read_architectures(tree)


def read_architectures(tree: Path) -> frozenset[str]:
    """Return the keys of the converter's table of text models. Raises NotFound if the source tree has no such table."""
    source = tree / "conversion" / "__init__.py"
    for node in ast.parse(source.read_bytes()).body if source.is_file() else []:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == TABLE
            and node.value
        ):
            return frozenset(ast.literal_eval(node.value))
    raise NotFound(
        f"llama.cpp's source has no table {TABLE} in {source}; build it again: python3 -m deploy.setup llama.cpp"
    )

"""Completes a list of targets with their bases, the targets from which they are made.

Example: `gguf-q4_k_m` is made from `gguf-f16` and `gguf-imatrix`, and `gguf-imatrix` from `gguf-f16`. The graph of a
DAG and the plan of a release both use this function, so they always agree.
"""

from collections.abc import Iterable

from tasks.formats.base import Target
from tasks.formats.registry import parse_target


def with_bases(targets: Iterable[Target]) -> list[Target]:
    """Return the targets and all their bases. Each is listed once, after its own bases.

    If a base is itself among the targets, that target is used, with its options from the recipe.
    """
    chosen = {target.name: target for target in targets}
    ordered: dict[str, Target] = {}

    def add(target: Target) -> None:
        for base in target.bases:
            if base not in ordered:
                add(chosen.get(base) or parse_target(base))
        ordered.setdefault(target.name, target)

    for target in chosen.values():
        add(target)
    return list(ordered.values())

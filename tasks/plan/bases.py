"""What targets are made from: the one table of bases, for the graph and for the plan."""

from collections.abc import Iterable

from tasks.formats.base import Target
from tasks.formats.registry import parse_target


def with_bases(targets: Iterable[Target]) -> list[Target]:
    """Return the targets and every base that they are made from, bases first, each once.

    A base that is itself among the targets is that target, with the options that the recipe chose for it.
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

"""What MLflow hands to `predict`, as far as a model may use it; the runtimes of engines have no pandas."""

from collections.abc import Mapping, Sequence
from typing import Any


class Frame(dict[str, Any]):
    """A stand-in for a data frame: columns by name, and an index that goes along."""

    def __init__(self, columns: Mapping[str, Sequence[Any]], index: Sequence[Any] | None = None) -> None:
        super().__init__({name: list(values) for name, values in columns.items()})
        rows = len(next(iter(self.values())))
        self.index = list(range(rows)) if index is None else list(index)
        assert len(self.index) == rows

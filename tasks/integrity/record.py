"""The record of a comparison: where each tensor of the source went, and how near each stored tensor is to it."""

from collections.abc import Mapping

from tasks.checkpoint.model_config import CONFIG
from tasks.evaluation.measurement import Measurement
from tasks.model import Model
from tasks.records import Record

INTEGRITY_FILE = "integrity.json"

NAMED = 4
"""How many tensors a sentence names; further ones are only counted."""


class ComparedTensor(Model):
    """One tensor of the file, beside the numbers of the source that it should hold.

    sources: the tensors of the source; how: what was done with them; type: in which it is stored.
    error, allowed_error: the relative error, and the largest that its type explains; see tasks/integrity/bands.py.
        None where it has none: of a source of zeros, or of numbers that are not finite.
    scale, allowed_scale: by how much the numbers look scaled, and how far that may be from 1.
    identical: whether every number is the source's, bit by bit.
    fault: what is wrong with it, a clause without a full stop; None if the type explains all.
    """

    name: str
    sources: tuple[str, ...]
    how: str
    type: str
    elements: int
    error: float | None = None
    allowed_error: float | None = None
    scale: float | None = None
    allowed_scale: float | None = None
    identical: bool = False
    fault: str | None = None

    @property
    def share_of_band(self) -> float:
        """The relative error as a share of what is allowed: at most 1 if it is within; 0 if there is no bound."""
        return self.error / self.allowed_error if self.error and self.allowed_error else 0.0

    @property
    def line(self) -> str:
        """The fault with the tensor's name."""
        return f"{self.name}: {self.fault}"


class Integrity(Record):
    """The comparison of one artifact with its source.

    tensors: the compared tensors. constants: stored tensors that hold no number of the source, with what they are.
    not_compared: tensors of the file or of the source whose conversion is not known, with the reason.
    dropped: tensors of the source that are left out on purpose, with the reason.
    lost: tensors of the source that are not in the file, wholly or in part, without a reason.
    from_nowhere: stored tensors that nothing explains.
    source_tensors: how many tensors the source has.
    """

    target: str
    tensors: tuple[ComparedTensor, ...]
    constants: dict[str, str] = {}
    not_compared: dict[str, str] = {}
    dropped: dict[str, str] = {}
    lost: tuple[str, ...] = ()
    from_nowhere: tuple[str, ...] = ()
    source_tensors: int

    @property
    def faulty(self) -> list[ComparedTensor]:
        """The tensors that are not what their type makes of the source, the worst first."""
        found = [tensor for tensor in self.tensors if tensor.fault]
        return sorted(
            found, key=lambda tensor: tensor.error if tensor.error is not None else float("inf"), reverse=True
        )

    @property
    def nearest(self) -> list[ComparedTensor]:
        """The faulty tensors, then those that are nearest to the end of their band."""
        return sorted(self.tensors, key=lambda tensor: (tensor.fault is None, -tensor.share_of_band))

    @property
    def metrics(self) -> Mapping[str, Measurement]:
        """The numbers of the gates, by the names of tasks/evaluation/metrics.py."""
        stored = len(self.tensors) + len(self.constants) + len(self.not_compared) + len(self.from_nowhere)
        all_tensors = stored + self.source_tensors
        explained = all_tensors - len(self.lost) - len(self.from_nowhere)
        compared = len(self.tensors)
        identical = (
            not self.lost
            and not self.from_nowhere
            and not self.not_compared
            # Libraries compute what config.json only describes with other last bits.
            and all(tensor.identical for tensor in self.tensors if tensor.sources != (CONFIG,))
        )
        return {
            "tensors_covered": Measurement(value=explained / all_tensors if stored else 0.0, observations=all_tensors),
            "tensors_faithful": Measurement(
                value=(compared - len(self.faulty)) / compared if compared else 0.0, observations=compared
            ),
            "weights_identical": Measurement(value=float(identical and compared > 0), observations=compared),
        }

    @property
    def causes(self) -> dict[str, str]:
        """What is wrong, by the metric that it lowers."""
        found = {}
        if self.lost or self.from_nowhere:
            sentences = []
            if self.lost:
                sentences.append(f"not in the file and not left out on purpose: {_names(self.lost)}")
            if self.from_nowhere:
                sentences.append(f"in the file, but from no tensor of the source: {_names(self.from_nowhere)}")
            found["tensors_covered"] = "; ".join(sentences)
        if faulty := self.faulty:
            more = f"; {len(faulty) - 1} more" if len(faulty) > 1 else ""
            found["tensors_faithful"] = f"{faulty[0].line}{more}"
        return found

    @property
    def summary(self) -> str:
        """One line for the report."""
        parts = [f"{len(self.tensors) - len(self.faulty)} of {len(self.tensors)} tensors"]
        worst = max(self.tensors, key=lambda tensor: tensor.share_of_band, default=None)
        if self.metrics["weights_identical"].value:
            parts.append("every number is the source's")
        elif worst is not None and worst.error and worst.allowed_error:
            parts.append(f"largest error {worst.error:.2g} of {worst.type}'s band {worst.allowed_error:.2g}")
        if self.not_compared:
            parts.append(f"{len(self.not_compared)} not compared")
        if self.dropped:
            parts.append(f"{len(self.dropped)} left out on purpose")
        return ", ".join(parts)

    @property
    def caveats(self) -> list[str]:
        """What a reader of the verdict must know: tensors that were not compared."""
        if not self.not_compared:
            return []
        reason = next(iter(self.not_compared.values()))
        count = len(self.not_compared)
        were = "1 tensor was" if count == 1 else f"{count} tensors were"
        return [f"{were} not compared with the source ({_names(tuple(self.not_compared))}): {reason}"]


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown

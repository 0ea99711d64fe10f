"""The record of a comparison with a control.

The *control* of a calibrated artifact is the same type made from the same source without calibration. Calibration is to
make an artifact closer to the source. The comparison says whether it changed the weights at all, and whether it made
the artifact worse.
"""

from collections.abc import Mapping

from tasks.evaluation.measurement import Interval, Measurement
from tasks.model import Model
from tasks.records import Record

CONTROL_FILE = "control.json"


class PairedDivergence(Model):
    """The mean divergence of two artifacts from the source, on the same windows, in nats.

    windows: compared, of those on which the target was evaluated.
    target, control: of each artifact.
    above: the target's minus the control's. Its error comes from the differences of the windows, so what makes a window
        hard for both does not count.
    interval: of `above`, however often one looks; None if the windows are too few to decide anything.
    """

    windows: int
    target: Measurement
    control: Measurement
    above: Measurement
    interval: Interval | None

    @property
    def is_worse(self) -> bool:
        """Whether the target is certainly further from the source than its control."""
        return self.interval is not None and self.interval.low > 0


class ControlComparison(Record):
    """What the control of one artifact has shown.

    unchanged: whether the artifact stores the weights of its control, byte for byte.
    divergence: of both; None if `unchanged`, because it is the same then.
    """

    target: str
    unchanged: bool
    divergence: PairedDivergence | None

    @property
    def metrics(self) -> Mapping[str, Measurement]:
        """The numbers of the verdict, by the names of tasks/evaluation/metrics.py."""
        found = {"weights_as_control": Measurement(value=float(self.unchanged))}
        if self.divergence:
            found |= {"control_kld_mean": self.divergence.control, "kld_above_control": self.divergence.above}
        return found

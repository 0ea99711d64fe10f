"""What blocks a calibrated artifact, in which words, and what does not."""

import pytest

from tasks.evaluation.control import ControlComparison, PairedDivergence
from tasks.evaluation.measurement import Interval, Measurement
from tasks.gates.control import control_answers, say_divergences
from tasks.gates.verdict import BLOCKING


def compared(target: float, control: float, interval: tuple[float, float] | None) -> ControlComparison:
    divergence = PairedDivergence(
        windows=8 if interval else 4,
        target=Measurement(value=target, standard_error=0.0021, observations=2040),
        control=Measurement(value=control, standard_error=0.0023, observations=2040),
        above=Measurement(value=target - control, standard_error=0.0003, observations=2040),
        interval=Interval(low=interval[0], high=interval[1]) if interval else None,
    )
    return ControlComparison(target="toy-q4", unchanged=False, divergence=divergence)


BOTH = "KLD mean 0.041 ± 0.002, without calibration 0.038 ± 0.002, on the same 2,040 tokens"


def test_worse_beyond_noise_blocks_and_both_numbers_are_said() -> None:
    changed, worse = control_answers(compared(0.041, 0.038, (0.0018, 0.0042)))
    assert (changed.outcome, worse.outcome) == ("pass", "fail")
    assert worse.why == (
        f"KLD above control 0.0030 ± 0.0003 > 0: calibration makes it worse ({BOTH}); "
        "calibrate with another text, or make it without calibration"
    )
    assert worse.seen == pytest.approx(0.003) and worse.standard_error == 0.0003


def test_a_difference_that_may_be_chance_passes_and_says_so() -> None:
    _, close = control_answers(compared(0.041, 0.038, (-0.0006, 0.0066)))
    assert close.outcome == "pass"
    assert close.why == (
        f"KLD above control 0.0030 ± 0.0003, which may be chance (-0.0006 or more, with 95% certainty; {BOTH})"
    )


def test_better_passes() -> None:
    _, better = control_answers(compared(0.038, 0.041, (-0.0042, -0.0018)))
    assert better.outcome == "pass"
    assert better.why.startswith("KLD above control -0.0030 ± 0.0003 ≤ 0 (KLD mean 0.038")
    _, equal = control_answers(compared(0.041, 0.041, (-0.0006, 0.0006)))
    assert equal.outcome == "pass" and "≤ 0 (" in equal.why


def test_nothing_above_zero_is_allowed() -> None:
    assert [answer.rule.maximum for answer in control_answers(compared(0.041, 0.038, None))] == [0, 0]


def test_calibration_that_changed_nothing_blocks_by_its_own_sentence() -> None:
    same, worse = control_answers(ControlComparison(target="toy-q4", unchanged=True, divergence=None))
    assert (same.outcome, worse.outcome) == ("fail", "not applicable")
    assert same.why == (
        "calibration changed nothing: every weight is that of the same type without it, byte for byte; "
        "calibrate with another text, or make it without calibration"
    )


def test_too_few_windows_are_told() -> None:
    _, few = control_answers(compared(0.041, 0.038, None))
    assert few.outcome == "not applicable" and few.outcome not in BLOCKING
    assert few.why == f"KLD above control: 4 windows are too few to tell, it takes 8 ({BOTH})"


def test_both_numbers_in_words() -> None:
    divergence = compared(0.041, 0.038, None).divergence
    assert divergence and say_divergences(divergence) == BOTH

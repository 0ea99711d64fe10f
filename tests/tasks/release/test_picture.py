"""The picture: points where their numbers are, labels that can be read, and the front that says what to take."""

import itertools

import pytest

from tasks.evaluation.measurement import Measurement
from tasks.release.advice import dominating
from tasks.release.axis import Axis, number_text
from tasks.release.picture import FRAME, Picture, Point, draw, pareto
from tasks.release.record import ReleasedProof, ReleasedTarget
from tests.tasks.release.sample import NUMBERS


def point(label: str, size: float, kld: float, passed: bool = True, tokens: int = 2550) -> Point:
    return Point(label, size, Measurement(value=kld, standard_error=kld / 20, observations=tokens), passed)


@pytest.fixture
def picture() -> Picture:
    points = [point(name, row[0], row[3], name != "gguf-q2_k") for name, row in NUMBERS.items()]
    drawn = draw(points, 0.05)
    assert drawn is not None
    return drawn


def test_smaller_is_left_and_closer_is_low(picture: Picture) -> None:
    by_size = sorted(picture.dots, key=lambda dot: dot.point.size)
    assert [dot.x for dot in by_size] == sorted(dot.x for dot in picture.dots)
    by_kld = sorted(picture.dots, key=lambda dot: dot.point.kld)
    assert [dot.y for dot in by_kld] == sorted((dot.y for dot in picture.dots), reverse=True)
    assert picture.gate is not None
    above = [dot.point.label for dot in picture.dots if dot.y < picture.gate.at]
    assert above == ["gguf-q2_k"]


def test_labels_cover_neither_each_other_nor_dots_nor_the_frame(picture: Picture) -> None:
    boxes = [dot.label.box for dot in picture.dots]
    dots = [(dot.x - 5, dot.y - 5, dot.x + 5, dot.y + 5) for dot in picture.dots]
    for one, other in [*itertools.combinations(boxes, 2), *itertools.product(boxes, dots)]:
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)
    for left, top, right, bottom in boxes:
        assert left >= FRAME[0] and top >= FRAME[1] and right <= FRAME[2] and bottom <= FRAME[3]


def test_the_front_holds_what_nothing_passed_beats() -> None:
    best = [point("small", 1, 0.04), point("middle", 2, 0.01), point("large", 4, 0.001)]
    worse = [
        point("larger and worse", 3, 0.02),
        point("blocked", 0.5, 0.3, passed=False),
        point("equal loss", 5, 0.001),
    ]
    assert pareto([*worse, *best]) == best


def test_the_front_leaves_out_only_what_is_certainly_further_from_the_source() -> None:
    """Each standard error is a twentieth. A small difference between two texts says nothing."""
    small, near, far = (
        point("small", 1, 0.0034),
        point("near", 2, 0.0037, tokens=3315),
        point("far", 3, 0.2, tokens=816),
    )
    assert pareto([far, near, small]) == [small, near]
    assert pareto([point("far", 3, 0.0037), small]) == [small], "on the same text, the smaller number is closer"
    drawn = draw([far, near, small], None)
    assert drawn is not None and drawn.front.count("H") == 1


def test_the_front_is_what_the_advice_says() -> None:
    points = [
        point(f"{size}-{kld}-{tokens}", size, kld, tokens=tokens)
        for size, kld, tokens in itertools.product((1, 2, 3), (0.0030, 0.0033, 0.0040), (2040, 2550))
    ]
    targets = [
        ReleasedTarget(
            target=one.label,
            format="gguf",
            outcome="passed",
            reason="a reason",
            proofs=(
                ReleasedProof(
                    outcome="passed",
                    reason="a reason",
                    metrics={"size_bytes": Measurement(value=one.size * 1e6), "kld_mean": one.measured},
                ),
            ),
        )
        for one in points
    ]
    assert {one.label for one in pareto(points)} == {one.target for one in targets if not dominating(one, targets)}


def test_a_kld_of_zero_lies_on_the_frame() -> None:
    drawn = draw([point("same", 4, 0.0), point("close", 2, 0.01)], None)
    assert drawn is not None
    assert next(dot for dot in drawn.dots if dot.point.label == "same").y == FRAME[3]


def test_the_band_of_the_noise_begins_at_the_noise_and_is_on_the_axis() -> None:
    points = [point("exact", 8, 1e-7), point("eight bits", 2, 0.002)]
    drawn = draw(points, None, noise=0.001)
    assert drawn is not None and drawn.noise is not None
    below = [dot.point.label for dot in drawn.dots if dot.y > drawn.noise.at]
    assert below == ["exact"]
    assert drawn.noise.text == "0.001"
    loud = draw(points, None, noise=0.1)
    assert loud is not None and loud.noise is not None
    assert FRAME[1] <= loud.noise.at < min(dot.y for dot in loud.dots)
    quiet = draw(points, None)
    assert quiet is not None and quiet.noise is None


@pytest.mark.parametrize("kld", [0.0, 0.01])
def test_one_point_is_a_picture_and_none_is_none(kld: float) -> None:
    drawn = draw([point("alone", 4, kld)], None)
    assert drawn is not None
    assert drawn.front == ""
    assert FRAME[0] <= drawn.dots[0].x <= FRAME[2]
    assert draw([], 0.05) is None


@pytest.mark.parametrize(
    ("numbers", "log", "ticks"),
    [
        ((4000.0, 4400.0), False, ["4000", "4100", "4200", "4300", "4400"]),
        ((1.0, 8.6), True, ["1", "2", "5", "10"]),
        ((40.0, 9000.0), True, ["100", "1000", "10000"]),
    ],
)
def test_axes_are_logarithmic_where_numbers_are_far_apart(
    numbers: tuple[float, ...], log: bool, ticks: list[str]
) -> None:
    axis = Axis(numbers, 0, 100, decades=False)
    assert axis.log is log
    assert [tick.text for tick in axis.ticks()] == ticks


def test_small_numbers_are_written_as_powers() -> None:
    assert [number_text(number) for number in (0.05, 0.001, 0.0001, 2e-7, 0)] == [
        "0.05",
        "0.001",
        "10⁻⁴",
        "2·10⁻⁷",
        "0",
    ]

"""The goals, each computed from what was measured: met, missed, or not measured."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.by_hand.script import naive_steps
from bench.costs import airflow, costs, making, tools, without_store, without_timings
from bench.results import Repetition
from bench.rows import BY_HAND, OURS

CPU_RATIO, EARLY_RATIO, WALL_RATIO, OUTSIDE_SHARE = 1.05, 0.6, 1.2, 0.10
LIGHT_BYTES, EVALUATION_SHARE, AGAIN_SECONDS = 400e6, 0.20, 30
LIGHT = (
    "pin",
    "fetch",
    "scan",
    "analyze",
    "preflight",
    "register",
    "report",
    "promote",
    "conclude",
    "sweep",
    "text",
    "gate",
)
"""Tasks of ours that load no engine, by the last part of their ids."""

READERS = ("scan", "reference", "gguf-f16.convert", "onnx-fp32.convert", "safetensors-bf16.convert")
"""Tasks that read the source's weights."""

TOLERANCE = 0.01
"""Of how often bytes were sent: what headers and framing may add."""

TURNS = {"later": "", "first": "for information, the first artifact on a host, which computes them: "}
"""Words before what was found, by whether the source's logits are already computed."""


@dataclass(frozen=True)
class Goal:
    """A goal in words, what was found (nothing, where nothing was measured), and whether that meets it.

    `met` is None where nothing is asked but that it be stated.
    """

    text: str
    found: str
    met: bool | None


def goals(results: Sequence[Repetition]) -> list[Goal]:
    """Return all goals; of several repetitions the median counts, and for what must never happen the worst.

    For wall times those count alone that nobody disturbed, where there are such.
    """
    whole = _of(results, "release", OURS)
    again = _of(results, "again", OURS)
    hands = _of(results, "release", BY_HAND)
    pairs = [(ours, hand) for ours in whole for hand in hands if ours.number == hand.number]
    early = [
        (ours, hand)
        for ours in _of(results, "early", OURS)
        for hand in hands
        if ours.number == hand.number and ours.conditions.comparable(hand.conditions)
    ]
    quiet = [one for one in whole if not one.metered.disturbed] or whole
    return [
        _bounded(
            f"the whole release: CPU at most {CPU_RATIO} times the script's",
            [ours.cpu_seconds / hand.cpu_seconds for ours, hand in pairs],
            CPU_RATIO,
            lambda found: f"{found:.3f} times",
        ),
        _bounded(
            "the whole release, each comparison ending when its gates are decided: "
            f"CPU at most {EARLY_RATIO} times the script's",
            [ours.cpu_seconds / hand.cpu_seconds for ours, hand in early],
            EARLY_RATIO,
            lambda found: f"{found:.3f} times",
        ),
        _stated(
            "the whole release without the benchmark tasks",
            [without_timings(ours) / without_timings(hand) for ours, hand in pairs],
            "{:.3f} times",
        ),
        _stated(
            "conversions, reference and evaluations alone: CPU compared with the script's",
            [making(ours) / making(hand) for ours, hand in pairs],
            "{:.3f} times",
        ),
        _bounded(
            f"wall at most {WALL_RATIO} times the critical path (dependencies alone)",
            [one.facts["seconds"] / one.facts["critical_path_seconds"] for one in quiet],
            WALL_RATIO,
            lambda found: f"{found:.2f} times",
        ),
        _bounded(
            f"wall at most {WALL_RATIO} times the shortest time "
            "that any schedule of these tasks could reach on these cores",
            [one.facts["seconds"] / one.facts["lower_bound_seconds"] for one in quiet],
            WALL_RATIO,
            lambda found: f"{found:.2f} times",
        ),
        _bounded(
            f"outside the tools at most {OUTSIDE_SHARE:.0%} of CPU",
            [1 - tools(ours, hand) / ours.cpu_seconds for ours, hand in pairs],
            OUTSIDE_SHARE,
            lambda found: f"{found:.1%}",
        ),
        _stated(
            "if the store were on another machine: CPU compared with the script's, and the share outside the tools",
            [without_store(ours) / without_store(hand) for ours, hand in pairs],
            "{:.3f} times, ",
            [1 - tools(ours, hand) / without_store(ours) for ours, hand in pairs],
            "{:.1%}",
        ),
        _stated("Airflow's share", [airflow(one) for one in whole], "{:.2f} CPU s a task"),
        _naive(_of(results, "release", BY_HAND)),
        _source(whole),
        _disk(whole),
        _light(whole),
        *_overheads(results),
        _again(again, [one for one in _of(results, "floor", OURS) if _comparable(one, again)]),
    ]


def _comparable(one: Repetition, others: Sequence[Repetition]) -> bool:
    return all(one.conditions.comparable(other.conditions) for other in others)


def _of(results: Sequence[Repetition], row: str, side: str) -> list[Repetition]:
    return [one for one in results if (one.row, one.side) == (row, side)]


def _bounded(text: str, values: list[float], bound: float, told: Callable[[float], str]) -> Goal:
    if not values:
        return Goal(text, "", None)
    middle = statistics.median(values)
    return Goal(text, told(middle), middle <= bound)


def _stated(text: str, values: list[float], told: str, others: Sequence[float] = (), told_too: str = "") -> Goal:
    found = told.format(statistics.median(values)) if values else ""
    return Goal(text, found + (told_too.format(statistics.median(others)) if others else ""), None)


def _naive(hands: Sequence[Repetition]) -> Goal:
    """Tell what the script's steps add up to where nothing is shared: each base is made for each target anew."""
    totals = []
    for hand in hands:
        cost = costs(hand)
        targets = [name.partition(":")[2] for name in cost if name.startswith("benchmark:")]
        steps = [step for target in targets for step in naive_steps(target)]
        more = sum(cost[step] for step in steps) - sum(cost[step] for step in set(steps))
        totals.append((hand.cpu_seconds + more) / hand.cpu_seconds)
    return _stated("the script with nothing shared, computed from its steps", totals, "{:.2f} times the script's CPU")


def _source(whole: Sequence[Repetition]) -> Goal:
    text = "the source's weights: fetched once, stored once, never read back from the store"
    if not whole:
        return Goal(text, "", None)
    told, met = [], True
    for name, words in (("sent_by_hub", "sent by the Hub"), ("stored", "stored"), ("read_from_store", "read back")):
        wanted = name != "read_from_store"
        times = [one.facts["source"][name] / one.facts["source"]["bytes"] for one in whole]
        worst = max(times, key=lambda one: abs(one - wanted))
        told.append(f"{words} {worst:.2f} times")
        # Bodies of uploads carry some bytes of framing; what was not seen at all was not logged, and proves nothing.
        met = met and abs(worst - wanted) < TOLERANCE
    return Goal(text, "; ".join(told), met)


def _disk(whole: Sequence[Repetition]) -> Goal:
    text = "the source's bytes: read from disk at most once by each tool that takes them"
    if not whole:
        return Goal(text, "", None)
    readers = sum(name in whole[0].facts["by_task"] for name in READERS)
    read = max(one.metered.disk_bytes_read for one in whole)
    bound = readers * whole[0].facts["source"]["bytes"]
    told = (
        f"{read / 1e6:.0f} MB from disk in the whole release, libraries and artifacts included; {readers} tasks take "
    )
    return Goal(text, told + f"the source's {whole[0].facts['source']['bytes'] / 1e6:.0f} MB", read <= bound)


def _light(whole: Sequence[Repetition]) -> Goal:
    text = f"processes of ours that load no engine: below {LIGHT_BYTES / 1e6:.0f} MB"
    peaks = [
        (cost["peak_memory_bytes"], name)
        for one in whole
        for name, cost in one.facts["by_task"].items()
        if name.rpartition(".")[2].removeprefix("evaluation_").removeprefix("calibration_") in LIGHT
    ]
    if not peaks:
        return Goal(text, "", None)
    largest, name = max(peaks)
    return Goal(text, f"{largest / 1e6:.0f} MB ({name})", largest < LIGHT_BYTES)


def _overheads(results: Sequence[Repetition]) -> list[Goal]:
    text = (
        f"evaluation adds at most {EVALUATION_SHARE:.0%} to the engine's own forward pass, "
        "for artifacts that find the source's logits already computed"
    )
    measured = _of(results, "overhead", OURS)
    if not measured:
        return [Goal(text, "", None)]
    found: dict[str, list[dict[str, Any]]] = {}
    for one in measured:
        for target, told in one.facts["targets"].items():
            found.setdefault(target, []).append(told)
    return [_overhead(f"{text}: {target}", told) for target, told in found.items()]


def _overhead(text: str, told: Sequence[dict[str, Any]]) -> Goal:
    words, shares = [], {}
    for turn, before in TURNS.items():
        each = [one[turn] for one in told]
        shares[turn] = statistics.median(one["added_ms"] / one["engine_ms"] for one in each)
        engine = statistics.median(one["engine_ms"] for one in each)
        grown = statistics.median(one["added_bytes"] for one in each)
        words.append(f"{before}{shares[turn]:.0%} of {engine:.1f} ms a token, {grown / 1e6:+.0f} MB")
    return Goal(text, "; ".join(words), shares["later"] <= EVALUATION_SHARE)


def _again(again: Sequence[Repetition], floors: Sequence[Repetition]) -> Goal:
    text = "the unchanged release again: no engine's runtime started, nothing registered, "
    text += f"Airflow's floor plus {AGAIN_SECONDS} s"
    if not again or not floors:
        return Goal(text, "", None)
    slowest = max(float(one.facts["seconds"]) for one in again)
    versions = max(int(one.facts["new_versions"]) for one in again)
    started = {name for one in again for name, cost in one.facts["by_task"].items() if not cost["reused"]}
    heavy = [name for name in started if name.rpartition(".")[2] not in LIGHT]
    floor = statistics.median(one.facts["seconds"] for one in floors)
    told = (
        f"{slowest:.0f} s; Airflow takes {floor:.0f} s for as many tasks that do nothing, in the same "
        f"order; {versions} new versions; started: {', '.join(sorted(started))}"
    )
    return Goal(text, told, not heavy and not versions and slowest <= floor + AGAIN_SECONDS)

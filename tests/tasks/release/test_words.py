"""Small texts of a release: table, advice, names, units, and lines that use the files."""

import ast
from typing import Literal

import pytest

from tasks.errors import InvalidRecipe
from tasks.evaluation.measurement import Measurement
from tasks.release.advice import advice, dominating
from tasks.release.naming import registered_name
from tasks.release.record import Release, ReleasedProof, ReleasedTarget
from tasks.release.table import numbers_line, release_markdown, release_table
from tasks.release.units import bytes_text, seconds
from tasks.release.usage import usages
from tasks.store.artifacts import read_manifest
from tasks.store.local import LocalStore
from tests.tasks.release.sample import UNPROVEN, sample_release


def target(name: str, size: float, kld: float, outcome: Literal["passed", "blocked"] = "passed") -> ReleasedTarget:
    metrics = {"size_bytes": Measurement(value=size), "kld_mean": Measurement(value=kld)}
    proof = ReleasedProof(outcome=outcome, reason="a reason", metrics=metrics)
    return ReleasedTarget(target=name, format="gguf", outcome=outcome, reason="a reason", proofs=(proof,))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def release(store: LocalStore) -> Release:
    return sample_release(store, "two\nlines | and a bar")


def test_the_table_has_a_line_for_every_target(release: Release) -> None:
    lines = release_table(release).splitlines()
    assert " ".join(lines[0].split()) == "target MB bits/weight perplexity KLD mean KLD p99 top-1 % tokens/s verdict"
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:] if not line.startswith("- ")}
    assert list(rows) == [*(target.target for target in release.targets), "(the"]
    assert rows["(the"] == (
        "source) - - - 0.00015 0.00110 99.1 - its own noise: run in the type in which it is stored, and compared with "
        "itself in float32"
    )
    assert rows["gguf-q2_k"] == (
        "1.07 3.10 76.96 0.059 0.370 77.1 1820 BLOCKED, as expected: "
        "KLD mean 0.059 ± 0.002 > 0.05; top-1 agreement 77.1 ± 0.2% < 85%"
    )
    assert rows["gguf-q6_k"] == "- - - - - - - FAILED: convert: two lines | and a bar"
    place = next(number for number, line in enumerate(lines) if line.startswith(UNPROVEN))
    both = [" ".join(line.split()) for line in lines[place : place + 3]]
    assert both[0].startswith(f"{UNPROVEN} - - - - - - - UNPROVEN: gpu-l4: no such pool:")
    assert both[1] == "- cpu, gguf-engine 1.2 2.29 8.50 72.83 0.000100 0.000600 98.4 1480 passed: all 3 gates passed"
    assert both[2].startswith("- gpu-l4 - - - - - - - UNPROVEN: no such pool:")
    assert len({line.index(word) for line, word in zip(lines[1:3], ("passed", "passed"), strict=True)}) == 1


def test_where_targets_were_compared_on_different_texts_no_perplexity_is_shown(release: Release) -> None:
    first, *others = release.targets
    (proof,) = first.proofs
    earlier = proof.metrics["kld_mean"].model_copy(update={"observations": 2040})
    difference = Measurement(value=0.012, standard_error=0.002)
    metrics = {**proof.metrics, "kld_mean": earlier, "delta_ln_perplexity": difference}
    first = first.model_copy(update={"proofs": (proof.model_copy(update={"metrics": metrics}),)})
    early = release.model_copy(update={"targets": (first, *others)})
    lines = [" ".join(line.split()) for line in release_table(early).splitlines()]
    assert lines[0] == "target MB bits/weight Δ ln ppl KLD mean KLD p99 top-1 % tokens/s tokens compared verdict"
    assert lines[1].startswith("safetensors-bf16 4.26 16 0.012 2.0e-7 1.0e-6 100.0 410 2,040 passed")
    assert " - " in lines[2] and " 16,384 passed" in lines[2]
    assert {line.count("|") for line in release_markdown(early).splitlines()} == {11}


def test_the_line_of_a_version_says_how_many_tokens_its_numbers_rest_on(release: Release) -> None:
    line = numbers_line(release.targets[0])
    assert line.startswith("MB 4.26 · bits/weight 16 · perplexity 72.82 · KLD mean 2.0e-7 · ")
    assert line.endswith(" · tokens/s 410 · tokens compared 16,384")
    assert "tokens compared" not in numbers_line(release.targets[0].model_copy(update={"proofs": ()}))


def test_the_markdown_table_is_not_broken_by_a_bar(release: Release) -> None:
    lines = release_markdown(release).splitlines()
    assert {line.count("|") for line in lines} == {10}
    assert len(lines) == 2 + len(release.targets) + 2 + 1, (
        "one for each target, for each of two proofs, and for the noise"
    )


def disturb(release: Release, *names: str) -> Release:
    """Return the release with timings of the named targets that were disturbed."""
    busy = {"disturbed": "other processes took 0.9 of 2 cores"}
    targets = tuple(
        one.model_copy(update={"proofs": tuple(proof.model_copy(update=busy) for proof in one.proofs)})
        if one.target in names
        else one
        for one in release.targets
    )
    return release.model_copy(update={"targets": targets})


def test_a_disturbed_timing_is_marked_in_the_table_and_the_mark_is_explained(release: Release) -> None:
    plain, marked = (release_table(one).splitlines() for one in (release, disturb(release, "gguf-q4_0", UNPROVEN)))
    assert marked[-1].startswith("~ Other work on the host disturbed this timing.")
    changed = [line for line, before in zip(marked, plain, strict=False) if line.split() != before.split()]
    assert [line.split()[0] for line in changed] == ["gguf-q4_0", "-"]
    assert "gguf-q4_0 1.38 4.50 73.67 0.0091 0.0620 90.5 ~1780 passed" in " ".join(changed[0].split()), (
        "other numbers have no mark"
    )
    assert " ~1480 passed" in " ".join(changed[1].split()), "each proof has its own timings"
    assert release_markdown(disturb(release, "gguf-q4_0")).count("~") == 2
    target = next(one for one in disturb(release, "gguf-q4_0").targets if one.target == "gguf-q4_0")
    assert " · tokens/s ~1780 · " in numbers_line(target)


def test_shortcomings_are_what_the_recipe_did_not_expect(release: Release) -> None:
    assert release.shortcomings == ["gguf-q6_k is required, but failed: convert: two\nlines | and a bar"]
    surprising = target("gguf-q2_k", 1, 0.01).model_copy(update={"expect_blocked": True})
    assert release.model_copy(update={"targets": (surprising,)}).shortcomings == [
        "gguf-q2_k was expected to be blocked, but passed: a reason"
    ]
    optional = target("gguf-q2_k", 1, 0.3, "blocked").model_copy(update={"required": False})
    assert release.model_copy(update={"targets": (optional,)}).shortcomings == []


def test_advice_names_what_is_better() -> None:
    close, beaten, small = target("close", 2e6, 0.001), target("beaten", 3e6, 0.02), target("small", 1e6, 0.09)
    blocked = target("blocked", 1, 0.0, "blocked")
    everything = [close, beaten, small, blocked]
    assert advice(close, everything) == "Practically the source itself; nothing that passed is both smaller and closer."
    assert advice(beaten, everything) == "Close to the source; but close is smaller and closer."
    assert advice(small, everything).startswith("A visible loss")
    assert advice(blocked, everything) == ""
    assert advice(target("awful", 1e5, 3.0), everything).startswith("A heavy loss")


def test_a_small_difference_between_two_texts_makes_nothing_better() -> None:
    measured = Measurement(value=0.0037, standard_error=0.0002, observations=3315)
    larger, smaller = target("larger", 2e6, 0.0), target("smaller", 1e6, 0.0)
    larger = larger.model_copy(update={"proofs": (_with_kld(larger, measured),)})
    near, far = (measured.model_copy(update={"value": value, "observations": 3060}) for value in (0.0034, 0.0020))
    assert dominating(larger, [smaller.model_copy(update={"proofs": (_with_kld(smaller, near),)})]) == []
    assert dominating(larger, [smaller.model_copy(update={"proofs": (_with_kld(smaller, far),)})]) != []


def _with_kld(target: ReleasedTarget, kld: Measurement) -> ReleasedProof:
    (proof,) = target.proofs
    return proof.model_copy(update={"metrics": {**proof.metrics, "kld_mean": kld}})


def test_names_follow_the_template() -> None:
    assert registered_name("{owner}--{name}--{target}", "acme/tiny.1", "onnx-int8") == "acme--tiny.1--onnx-int8"
    for template, wrong in (
        ("{owner}--{name}", "lacks '{target}', so all targets could get the same name; add it"),
        ("{owner}--{target}", "lacks '{name}', so all repositories of an owner could get the same name; add it"),
        ("{name}--{target}", "lacks '{owner}', so repositories of two owners could get the same name; add it"),
        ("{target}", "lacks '{owner}'"),
        ("{owner.__class__}-{target}", "__class__"),
        ("{model}-{target}", "'model'"),
        ("{owner}/{name}--{target}", "'/'"),
        ("{target", "not a valid template"),
        ("{target} {name} {owner}", "' '"),
    ):
        with pytest.raises(InvalidRecipe, match=wrong):
            registered_name(template, "acme/tiny", "onnx-int8")


def test_units() -> None:
    assert [seconds(value) for value in (0.85, 1, 12.34, 99.94, 99.95, 250, 3599, 3600, 11100, 360_000)] == [
        *("850 ms", "1.0 s", "12.3 s", "99.9 s"),
        *("1 min 40 s", "4 min 10 s", "59 min 59 s"),
        *("1 h 00 min", "3 h 05 min", "100 h 00 min"),
    ]
    assert [bytes_text(value) for value in (12, 999, 1000, 999_000, 1e6, 4_260_000, 412_000_000, 999e6, 1e9)] == [
        *("12 B", "999 B", "1.00 kB", "999 kB", "1.00 MB", "4.26 MB", "412 MB", "999 MB", "1.00 GB"),
    ]
    assert [bytes_text(value * 1e3) for value in (9.99, 10, 10.5, 99.5, 100, 100.4)] == [
        *("9.99 kB", "10.0 kB", "10.5 kB", "99.5 kB", "100 kB", "100 kB")
    ]


def test_usage_names_the_files_and_functions_that_are_there(store: LocalStore, release: Release) -> None:
    for released in release.passed:
        assert released.artifact
        artifact = read_manifest(store, released.artifact)
        found = {usage.title: usage.lines for usage in usages(released, artifact, "s3://b/artifacts/k.json")}
        lines = "\n".join(found.values())
        assert f"models:/{released.registered_name}@champion" in lines
        assert f"models:/{released.registered_name}/{released.version}" in lines
        assert "s3://b/artifacts/k.json" in lines and 'Path("k.json")' in lines
        for title, text in found.items():
            if "Python" in title:
                ast.parse(text)
        if released.format == "gguf":
            model = next(entry.path for entry in artifact.files if entry.path.endswith(".gguf"))
            assert f"{released.target}/{model}" in lines
    blocked = next(target for target in release.targets if target.outcome == "blocked")
    assert blocked.artifact
    assert usages(blocked, read_manifest(store, blocked.artifact), "s3://b/k.json") == []


def test_commands_state_the_context_that_was_compared_unless_the_recipe_wants_all(
    store: LocalStore, release: Release
) -> None:
    released = next(target for target in release.passed if target.target == "gguf-q8_0")
    compared = {**released.metrics, "context_compared": Measurement(value=4608)}
    proof = released.proofs[0].model_copy(update={"metrics": compared})
    released = released.model_copy(update={"proofs": (proof,)})
    assert released.artifact
    artifact = read_manifest(store, released.artifact).model_copy(update={"facts": {"context_length": 131072}})
    lines = "".join(usage.lines for usage in usages(released, artifact, "s3://b/k.json"))
    assert "--ctx-size 4608 " in lines
    assert "--ctx-size" not in "".join(usage.lines for usage in usages(released, artifact, "s3://b/k.json", "source"))

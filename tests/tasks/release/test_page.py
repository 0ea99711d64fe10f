"""The report's page: it tells everything, comes alone, and lets no string of others become markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tasks.evaluation.measurement import Measurement
from tasks.release.current import Current, Mark, Names
from tasks.release.lineage import evidence, steps
from tasks.release.page import outcome, picture, render
from tasks.release.record import Release
from tasks.release.table import release_table
from tasks.store.artifacts import read_manifest
from tasks.store.local import LocalStore
from tests.tasks.release.sample import CALIBRATED, HOSTILE, NOISE, NUMBERS, RULES, UNPROVEN, sample_release

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and fails on a tag that is not closed in its order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(store: LocalStore, release: Release, current: Current | None = None, text: str = "all formats") -> str:
    known = [evidence(store, target) for target in release.targets]
    current = current or Current(repository=release.repository)
    return render(release, known, steps(store, release), current, text, "platform", store)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    return LocalStore(tmp_path_factory.mktemp("store"))


def test_it_shows_everything(store: LocalStore) -> None:
    release = sample_release(store)
    page = Reader(page_of(store, release)).text
    for target in release.targets:
        assert target.target in page
        assert target.reason[1:] in page
        if target.artifact:
            assert target.artifact in page
        if target.outcome == "passed":
            assert f"models:/{target.registered_name}@champion" in page
            assert target.artifact
            manifest = read_manifest(store, target.artifact)
            assert store.uri(manifest.own_name) in page, "a forced run does not replace it"
    for rule in RULES:
        assert page.count(rule.reason) == len(NUMBERS) + 1, "once for each proof that has a verdict"
    for expected in (
        release.commit,
        "2026-11-23 01:00 UTC",
        "0.059",
        "± 0.002",
        "llama.cpp",
        "0.3.36",
        "2.13.0",
        "1 of 1 tensors, largest error 0.0041 of q8's band 0.0065, 1 not compared, 1 left out on purpose",
        "up and 1 more",
        "Left out: mtp.head, a layer that predicts further tokens.",
        "Not compared: odd, nobody knows how it is made.",
        "128 prompt tokens, 64 generated, batch of one, 5 repetitions, 1 thread",
        "gguf-q6_k is required, but failed: convert: an unremarkable text",
        "11 targets: 7 passed, 1 blocked as expected, 1 unproven, 1 failed, 1 skipped.",
    ):
        assert expected in page, expected
    # Shared steps are told once, however many targets rest on them.
    assert page.count("reference\n") <= 1
    of_control = 2
    assert len(steps(store, release)) == 2 + 5 * len(NUMBERS) + of_control


def test_the_sources_own_noise_is_a_line_of_the_table_and_a_band_of_the_picture(store: LocalStore) -> None:
    page = page_of(store, sample_release(store))
    assert "(the source)" in page
    assert "Its own noise: run in bfloat16, and compared with itself in float32." in " ".join(Reader(page).text.split())
    assert page.count('<rect class="noise"') == 1
    assert "the source’s own noise: 0.00015" in page


def test_a_release_of_an_earlier_reference_shows_no_noise(store: LocalStore) -> None:
    release = sample_release(store)
    quiet = [
        target.model_copy(
            update={
                "proofs": tuple(
                    proof.model_copy(update={"metrics": {k: v for k, v in proof.metrics.items() if k not in NOISE}})
                    for proof in target.proofs
                )
            }
        )
        for target in release.targets
    ]
    page = page_of(store, release.model_copy(update={"targets": tuple(quiet)}))
    assert "noise" not in page.split("</style>")[1]
    assert "(the source)" not in release_table(release.model_copy(update={"targets": tuple(quiet)}))


def test_the_control_of_a_calibrated_target_is_shown(store: LocalStore) -> None:
    release = sample_release(store)
    page = Reader(page_of(store, release)).text
    both = "KLD mean 0.0058 ± 0.0003, without calibration 0.0064 ± 0.0003, on the same 2,040 tokens"
    assert page.count(f"Against its control, the same type without calibration: {both}.") == 1
    assert f"-0.00060 ± 0.00010 ≤ 0 ({both})" in page, "the answer of the gate"
    # Its conversion has the name of the target, too.
    assert [step.subject for step in steps(store, release) if step.subject.startswith("control")] == [
        f"control of {CALIBRATED}"
    ]


def test_each_proof_of_a_target_has_its_numbers(store: LocalStore) -> None:
    release = sample_release(store)
    page = page_of(store, release)
    rows = re.findall(r"<tr><th scope=.row.*?</tr>", page[: page.index('id="gates"')], re.DOTALL)
    texts = [Reader(f"<table>{row}</table>").text for row in rows]
    places = [number for number, text in enumerate(texts) if text.startswith(UNPROVEN)]
    target, here, there = texts[places[0] : places[0] + 3]
    assert target.split("–")[0] == UNPROVEN and target.endswith("unproven")
    assert here.startswith("cpu, gguf-engine 1.2") and "2.29" in here and here.endswith("passed")
    assert there.startswith("gpu-l4") and "2.29" not in there and there.endswith("unproven")
    assert f"{UNPROVEN}, cpu" in page, "gates, parity and speed name the proof"
    assert "gpu-l4: no such pool" in Reader(page).text


def test_a_disturbed_timing_is_marked_and_the_page_says_what_disturbed_it(store: LocalStore) -> None:
    release = sample_release(store)
    assert "~" not in Reader(page_of(store, release)).text
    busy = {"disturbed": "other processes took 0.9 of 2 cores"}
    first, *others = release.targets
    proofs = (first.proofs[0].model_copy(update=busy),)
    release = release.model_copy(update={"targets": (first.model_copy(update={"proofs": proofs}), *others)})
    text = Reader(page_of(store, release)).text
    assert "~410± 7" in text, "tokens a second"
    assert "~41.2± 0.8" in text, "the time to the first token"
    assert "~210" not in text, "memory is no timing"
    assert "safetensors-bf16: other processes took 0.9 of 2 cores." in text
    assert text.count("~ Other work on the host disturbed this timing.") == 2, "below the targets, and below Speed"
    assert text.count("~") == 3 + 2, "of no other target"


def test_what_was_not_timed_is_said_once(store: LocalStore) -> None:
    release = sample_release(store)
    known = [evidence(store, target) for target in release.targets[:2]]
    note = "A prompt of 2048 tokens was not timed: the context has 512 tokens."
    noted = []
    for one in known:
        benchmark = one.proofs[0].benchmark
        assert benchmark
        proof = replace(one.proofs[0], benchmark=benchmark.model_copy(update={"notes": (note,)}))
        noted.append(replace(one, proofs=(proof,)))
    page = render(release, noted, [], Current(repository=release.repository), "", "", store)
    assert Reader(page).text.count(note) == 1
    assert f": {note}" not in Reader(page).text, "it is of all"
    names = ", ".join(one.released.target for one in noted)
    some = render(
        release,
        [*noted, evidence(store, release.targets[2])],
        [],
        Current(repository=release.repository),
        "",
        "",
        store,
    )
    assert Reader(some).text.count(f"{names}: {note}") == 1


def test_the_best_batch_is_beside_the_other_speeds(store: LocalStore) -> None:
    release = sample_release(store)
    first, *others = release.targets
    batch = {
        "batch_decode_tokens_per_second": Measurement(value=187.6, standard_error=2.1, observations=3),
        "batch_size": Measurement(value=8.0),
        "batch_inter_token_p95_ms": Measurement(value=51.4, standard_error=0.6, observations=3),
    }
    proofs = tuple(one.model_copy(update={"metrics": {**one.metrics, **batch}}) for one in first.proofs)
    release = release.model_copy(update={"targets": (first.model_copy(update={"proofs": proofs}), *others)})
    text = Reader(page_of(store, release)).text
    speed = text[text.rindex("Speed") :]
    assert "best batch, tokens/ssize of the best batch, sequencesinter-token p95 of the best batch, ms" in speed
    assert re.search(r"188± 2\s*8\s*51\.4± 0\.6", speed)
    assert re.search(r"\d–\s*–\s*–", speed), "of the targets without it"


def test_an_unproven_target_is_not_in_the_picture(store: LocalStore) -> None:
    drawn = picture([evidence(store, target) for target in sample_release(store).targets])
    assert drawn and {dot.point.label for dot in drawn.dots} == set(NUMBERS)


def test_a_blocked_base_is_named_beside_the_gates(store: LocalStore) -> None:
    release = sample_release(store)
    known = evidence(store, release.targets[1])
    verdict = known.proofs[0].verdict
    assert verdict
    bases = {"gguf-f16": "was blocked: KLD mean 0.0051 > 0.001"}
    proof = replace(known.proofs[0], verdict=verdict.model_copy(update={"bases": bases}))
    page = render(release, [replace(known, proofs=(proof,))], [], Current(repository=release.repository), "", "", store)
    assert "It is made from gguf-f16, which was blocked: KLD mean 0.0051 > 0.001." in Reader(page).text


def test_no_string_becomes_markup(store: LocalStore) -> None:
    release = sample_release(store, HOSTILE)
    hostile = Reader(page_of(store, release, text=HOSTILE))
    tame = Reader(page_of(store, sample_release(store), text="all formats"))
    assert hostile.tags == tame.tags
    assert {name for name, _ in hostile.attributes} == {name for name, _ in tame.attributes}
    assert hostile.text.count(HOSTILE) >= 4 + len(NUMBERS)


def test_it_comes_alone(store: LocalStore) -> None:
    page = page_of(store, sample_release(store))
    read = Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(read.tags)
    assert not [value for name, value in read.attributes if name in ("src", "href") and not value.startswith("#")]
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page
    anchors = {value.removeprefix("#") for name, value in read.attributes if name == "href"}
    assert anchors <= {value for name, value in read.attributes if name == "id"}


def test_a_licence_whose_text_is_not_among_the_files_is_told(store: LocalStore) -> None:
    release = sample_release(store)
    linked = release.model_copy(update={"licence_link": "https://example.org/terms"})
    told = "its text, which is not among the files: https://example.org/terms"
    assert told in Reader(page_of(store, linked)).text
    kept = release.model_copy(update={"licence_link": None})
    assert "not among the files" not in Reader(page_of(store, kept)).text


def test_a_blocked_target_says_what_stays_champion(store: LocalStore) -> None:
    release = sample_release(store)
    mark = Mark(
        target="gguf-q2_k",
        version="7",
        release_id="earlier",
        recipe="demo",
        commit="c" * 40,
        files_digest="d" * 64,
    )
    current = Current(repository=release.repository, names={"acme--tiny-llama--gguf-q2_k": Names(champion=mark)})
    assert "Version 7, of release earlier, stays champion." in Reader(page_of(store, release, current)).text
    assert "stays champion" not in Reader(page_of(store, release)).text


def test_a_target_that_was_rolled_back_is_not_promoted_and_says_so(store: LocalStore) -> None:
    release = sample_release(store)
    target = release.passed[0]
    assert target.registered_name and target.version and target.files_digest
    mark = Mark(
        target=target.target,
        version=target.version,
        release_id="earlier",
        recipe="demo",
        commit="c" * 40,
        files_digest=target.files_digest,
    )
    before = mark.model_copy(update={"version": "0", "files_digest": "d" * 64})
    names = {target.registered_name: Names(champion=before, rolled_back=(mark,))}
    text = Reader(page_of(store, release, Current(repository=release.repository, names=names))).text
    assert text.count("Not promoted: a person rolled back these files from release earlier.") == 1
    assert "Not promoted" not in Reader(page_of(store, release)).text


def test_the_outcome_of_an_unchanged_release(store: LocalStore) -> None:
    release = sample_release(store).model_copy(update={"unchanged_since": "r1"})
    assert outcome(release) == "Nothing new: files and verdicts are those of release r1."


def test_inputs_that_were_swept_are_left_out(store: LocalStore) -> None:
    release = sample_release(store)
    before = steps(store, release)
    reference = next(step for step in before if step.task == "reference")
    store.delete(f"artifacts/{reference.manifest.key}.json")
    assert [step.task for step in before if step not in steps(store, release)] == ["reference"]


def test_a_reason_that_targets_share_is_told_once(store: LocalStore) -> None:
    release = sample_release(store, "text")
    why = "llama.cpp's converter does not know the architecture; leave the gguf targets out"
    failed = next(target for target in release.targets if target.outcome == "failed")
    reasons = {
        "gguf-f16": f"convert: {why}",
        "gguf-q3": f"gguf-f16.convert: {why}",
        "gguf-q4": f"gguf-f16.convert: {why}",
    }
    targets = tuple(failed.model_copy(update={"target": name, "reason": reason}) for name, reason in reasons.items())
    text = Reader(page_of(store, release.model_copy(update={"targets": targets}))).text
    assert text.count(why) == 2, "in the summary and in the first row"
    assert text.count("For the same reason as gguf-f16") == 2


def test_different_texts_are_told(store: LocalStore) -> None:
    release = sample_release(store)
    first, *others = release.targets
    (proof,) = first.proofs
    metrics = {**proof.metrics, "kld_mean": proof.metrics["kld_mean"].model_copy(update={"observations": 2040})}
    first = first.model_copy(update={"proofs": (proof.model_copy(update={"metrics": metrics}),)})
    page = Reader(page_of(store, release.model_copy(update={"targets": (first, *others)}))).text
    assert "tokens compared" in page and "2,040" in page and "16,384" in page
    assert "perplexities cannot be compared between the targets" in page
    assert "tokens compared" not in Reader(page_of(store, release)).text

"""The source's noise of a release is that of any target that was measured."""

from pathlib import Path

from tasks.release.noise import beside_targets, noise_line, source_noise
from tasks.release.record import ReleasedTarget
from tasks.store.local import LocalStore
from tests.tasks.release.sample import NOISE, sample_release


def test_it_is_found_whichever_target_was_measured(tmp_path: Path) -> None:
    release = sample_release(LocalStore(tmp_path))
    failed = ReleasedTarget(target="failed", format="toy", outcome="failed", reason="for this test")
    assert source_noise(release.model_copy(update={"targets": (failed, *release.targets)})) == NOISE
    assert source_noise(release.model_copy(update={"targets": (failed,)})) == {}


def test_it_stands_beside_the_numbers_of_targets() -> None:
    assert set(beside_targets(NOISE)) == {"kld_mean", "kld_p99", "top1_agreement", "delta_ln_perplexity"}
    assert beside_targets(NOISE)["kld_mean"] == NOISE["noise_kld_mean"]


def test_the_line_names_the_type_where_it_is_known() -> None:
    assert "run in bfloat16, and" in noise_line("bfloat16")
    assert "run in the type in which it is stored, and" in noise_line()

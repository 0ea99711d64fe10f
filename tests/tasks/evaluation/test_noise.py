"""The source's noise as the metrics that every evaluation by this reference takes over."""

from tasks.evaluation.measurement import Measurement
from tasks.evaluation.metrics import NOISE_METRICS
from tasks.evaluation.noise import noise_metrics
from tasks.evaluation.reference_files import Noise

KEPT = ("kld_mean", "kld_p99", "top1_agreement", "delta_ln_perplexity")


def test_each_number_has_a_name_of_its_own() -> None:
    metrics = {name: Measurement(value=float(place)) for place, name in enumerate(KEPT)}
    noise = Noise(type="bfloat16", tokens=9, metrics=metrics, repeated=Measurement(value=9.0))
    found = noise_metrics(noise)
    assert set(found) == set(NOISE_METRICS)
    assert [found[f"noise_{name}"].value for name in KEPT] == [0, 1, 2, 3]
    assert found["repeat_kld_mean"].value == 9


def test_a_reference_without_noise_has_none() -> None:
    assert noise_metrics(None) == {}

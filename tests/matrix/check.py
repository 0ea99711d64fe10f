"""What must hold of every case: the artifact, in its engine, says what the source says."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.checkpoint.analysis import Analysis
from tasks.engines.runner import Runner
from tasks.errors import Unsupported
from tasks.integrity.record import INTEGRITY_FILE, Integrity
from tasks.runtimes import runtime
from tasks.settings import REPOSITORY
from tests.matrix.cases import Case
from tests.tasks.engines.together import below_largest
from tests.tasks.evaluation.rows import all_logits, log_softmax

PROGRAM = Path(__file__).with_name("make.py")
MAKE_SECONDS = 700
GENERATED = 12


def make_all(folder: Path, cases: Sequence[Case]) -> None:
    """Make what the cases need, in one process of each runtime that makes some of it."""
    for maker in dict.fromkeys(_maker(case) for case in cases):
        subprocess.run(
            [runtime(maker).python, PROGRAM, folder, *(str(case) for case in cases if _maker(case) == maker)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            check=True,
            stdout=sys.stderr,
            timeout=MAKE_SECONDS,
        )


def cases_in(request: pytest.FixtureRequest) -> list[Case]:
    """Return the cases that this session runs of the file that asks."""
    items = [item for item in request.session.items if item.path == request.path]
    cases = [item.callspec.params["case"] for item in items if isinstance(item, pytest.Function)]
    return [case for case in cases if isinstance(case, Case)]


def check(case: Case, folder: Path) -> None:
    """Fail unless the plan knows the target, and the artifact is whole and says what the source says.

    Compared are tokens, chats, probabilities and greedy text, alone and of several prompts together.
    """
    root = folder / case.arch
    for error in (root / "error.txt", root / case.target / "error.txt"):
        if error.exists():
            pytest.fail(error.read_text())
    analysis = Analysis.read_file(root / "analysis" / "output" / "analysis.json", "analysis.json")
    assert case.format.predict(case.parsed, analysis).size_bytes > 0
    output = root / case.target / "output"
    assert {"MLmodel", "requirements.txt", "code", "LICENSE"} <= {path.name for path in output.iterdir()}
    assert _imported(case.format.inspect)(output)
    weights = Integrity.read_file(root / case.target / INTEGRITY_FILE, "the comparison of weights")
    assert (weights.causes, weights.not_compared) == ({}, {})
    source = {**np.load(root / "source.npz"), **json.loads((root / "source.json").read_text())}
    runner = _imported(case.opened_by.runner)(output, 1)
    try:
        assert runner.tokenize(source["prompt"]) == source["prompt_ids"]
        chats = [runner.render_chat(source["messages"], prompt) for prompt in (False, True)]
        assert chats == source["chats"]
        wanted = log_softmax(source["logits"])
        found = log_softmax(np.stack([all_logits(runner, ids.tolist()) for ids in source["ids"]]))
        assert found.shape == wanted.shape
        divergence = float((np.exp(wanted) * (wanted - found)).sum(-1).mean())
        measured = f"{case}: the mean divergence is {divergence:.2g} nats, its bound {case.kld_mean:.2g}"
        print(measured)
        assert divergence <= case.kld_mean, measured
        prompts = source["ids"][:3, :20].astype(np.int64)
        alone = [runner.generate(prompts[0].tolist(), GENERATED).token_ids]
        for way, said in (("alone", alone), ("together", _together(case, runner, prompts))):
            for prompt, tokens in zip(prompts.tolist(), said, strict=False):
                assert len(tokens) == GENERATED
                tie = below_largest(runner, prompt, tokens)
                print(f"{case}: tokens generated {way} at most {tie:.2g} below the largest logit")
                assert tie < case.tie
    finally:
        runner.close()


def _together(case: Case, runner: Runner, prompts: NDArray[np.int64]) -> list[list[int]]:
    """Return the continuations of prompts that are decoded together; none where the engine must refuse that."""
    if case.one_at_a_time:
        with pytest.raises(Unsupported, match="wrong tokens for several sequences"):
            runner.together(prompts, GENERATED)
        return []
    with closing(runner.together(prompts, GENERATED)) as batch:
        said: list[list[int]] = batch.generate(GENERATED).token_ids.tolist()
    assert len(said) == len(prompts) > 1
    return said


def _maker(case: Case) -> str:
    return case.format.maker(case.parsed).runtime


def _imported(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found

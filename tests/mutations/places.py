"""The places of mutants, and the runtime in which each is judged; the names of the sources."""

import os
import subprocess
from collections.abc import Mapping

from tasks.runtimes import runtime
from tasks.settings import REPOSITORY

SOURCE = "source"
"""The place of a mutant that is a changed source; any other place is the target of the artifact that is changed."""

PLACES: Mapping[str, str] = {
    SOURCE: "torch",
    "safetensors-bf16": "torch",
    "gguf-f16": "llama-cpp",
    "onnx-fp32": "onnxruntime",
    "gguf-q8_0": "llama-cpp",
    "onnx-int8": "onnxruntime",
}
"""Sources, one target of each format, and a quantized one where the format has any."""

TARGETS = ("safetensors-bf16", "gguf-f16", "onnx-fp32")
"""The target of each format that rounds least, so that a fault shows. A changed source becomes these."""

QUANTIZED = tuple(place for place in PLACES if place not in (SOURCE, *TARGETS))
"""They are made from TARGETS, whose every tensor is changed; of their own, a few tensors are."""

NOT_RELEASED = (("stablelm", "gguf-q8_0"), ("stablelm", "onnx-int8"))
"""Sources and places that are left out, because the sound artifact does not pass its gates. Rounding to 8 bits costs
these random weights 0.0008 nats, and the bound is 0.0004."""

SOURCE_NAMES = ("granite", "llama", "gemma", "stablelm", "neox", "mistral")
"""See tests/mutations/sources.py."""

TEXTS = "texts.json"
"""A file beside a source with texts on which changed artifacts are compared with the sound one."""


def run_program(runtime_name: str, module: str, *arguments: object) -> None:
    """Run a module of the tests in a runtime; raises CalledProcessError where it fails."""
    subprocess.run(
        [runtime(runtime_name).python, "-W", "ignore", "-m", module, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        check=True,
    )

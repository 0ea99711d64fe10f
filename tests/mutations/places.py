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
    "onnx-int8": "onnxruntime",
}
"""Sources; one target of each format, the one that rounds least, so that a fault shows; and weights in blocks."""

TARGETS = ("safetensors-bf16", "gguf-f16", "onnx-fp32")
"""What a changed source is converted to."""

SOURCE_NAMES = ("granite", "llama", "gemma")
"""See tests/mutations/sources.py."""

TEXTS = "texts.json"
"""A file beside a source with texts on which changed artifacts are compared with the sound one."""


def run_program(runtime_name: str, program: str, *arguments: object) -> None:
    """Run a program of this folder in a runtime; raises CalledProcessError where it fails."""
    subprocess.run(
        [runtime(runtime_name).python, "-W", "ignore", "-m", f"tests.mutations.{program}", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        check=True,
    )

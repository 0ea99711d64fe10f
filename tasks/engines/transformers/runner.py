"""The runner of safetensors artifacts: transformers, in bf16, on the processor."""

from pathlib import Path

from tasks.engines.engine_runner import EngineRunner
from tasks.engines.runner import Runner
from tasks.engines.transformers.serving import TransformersEngine
from tasks.errors import Corrupt


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the artifact in `folder`; raises Corrupt where the engine refuses it."""
    try:
        return EngineRunner(TransformersEngine(folder, threads), TransformersEngine.name)
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:400]
        raise Corrupt(f"transformers cannot load the artifact: {reason}") from error

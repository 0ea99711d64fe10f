"""Opens a safetensors artifact in transformers for measuring, with the code that serves it."""

from functools import partial
from pathlib import Path

from tasks.engines.batch import StackedBatch
from tasks.engines.runner import Runner
from tasks.engines.transformers.serving import open_engine
from tasks.errors import Corrupt, HallmarkError


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the artifact in `folder`; raises Corrupt where the engine refuses it."""
    try:
        engine = open_engine(folder, threads)
        return Runner(engine, partial(StackedBatch, engine))
    except (HallmarkError, MemoryError):
        raise
    except Exception as error:  # the library tokenizers raises no narrower type
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:400]
        raise Corrupt(f"transformers cannot load the artifact: {reason}") from error

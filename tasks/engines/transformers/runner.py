"""Opens a safetensors artifact in transformers for measuring, with the code that serves it."""

from functools import partial
from pathlib import Path

from tasks.engines.batch import StackedBatch
from tasks.engines.failures import engine_at_work
from tasks.engines.runner import Runner
from tasks.engines.transformers.serving import open_engine
from tasks.errors import Corrupt


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the artifact in `folder`; raises Corrupt where the engine refuses it, and MemoryError."""
    with engine_at_work(lambda words: Corrupt(f"transformers cannot load the artifact: {words}")):
        engine = open_engine(folder, threads)
        return Runner(engine, partial(StackedBatch, engine))

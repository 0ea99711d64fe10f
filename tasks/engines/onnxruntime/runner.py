"""Opens an ONNX artifact in onnxruntime for measuring, with the code that serves it."""

from functools import partial
from pathlib import Path

from tasks.engines.batch import StackedBatch
from tasks.engines.failures import engine_at_work
from tasks.engines.onnxruntime.serving import open_engine
from tasks.engines.runner import Runner
from tasks.errors import MAKE_AGAIN, Corrupt


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the artifact in `folder`; raises Corrupt where the engine refuses it, and MemoryError."""
    if not (folder / "model.onnx").is_file():
        raise Corrupt(f"The artifact has no model.onnx; {MAKE_AGAIN}.")
    with engine_at_work(lambda words: Corrupt(f"onnxruntime cannot load the artifact: {words}")):
        engine = open_engine(folder, threads)
        return Runner(engine, partial(StackedBatch, engine))

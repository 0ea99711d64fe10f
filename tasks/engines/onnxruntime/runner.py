"""Opens an ONNX artifact in onnxruntime for measuring, with the code that serves it."""

from functools import partial
from pathlib import Path

from tasks.engines.batch import StackedBatch
from tasks.engines.onnxruntime.serving import open_engine
from tasks.engines.runner import Runner
from tasks.errors import Corrupt


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the artifact in `folder`; raises Corrupt where the engine refuses it."""
    if not (folder / "model.onnx").is_file():
        raise Corrupt("The artifact has no model.onnx; make it again.")
    try:
        engine = open_engine(folder, threads)
        return Runner(engine, partial(StackedBatch, engine))
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise Corrupt(f"onnxruntime cannot load the artifact: {str(error).splitlines()[0][:400]}") from error

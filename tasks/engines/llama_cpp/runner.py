"""Opens a GGUF artifact in llama.cpp for measuring, with the code that serves it."""

from functools import partial
from pathlib import Path

from tasks.engines.failures import engine_at_work
from tasks.engines.llama_cpp.batch import LlamaCppBatch
from tasks.engines.llama_cpp.serving import open_engine
from tasks.engines.runner import Runner
from tasks.errors import MAKE_AGAIN, Corrupt


def open_runner(folder: Path, threads: int) -> Runner:
    """Load the folder's GGUF file; raises Corrupt where there is none, several, or llama.cpp cannot load it.

    Raises MemoryError where llama.cpp got no memory.
    """
    with engine_at_work(lambda words: Corrupt(f"{words}; {MAKE_AGAIN}.")):
        engine = open_engine(folder, threads)
        return Runner(engine, partial(LlamaCppBatch, engine))

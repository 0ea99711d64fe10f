"""llama.cpp as the rest of Hallmark knows it. Imports no engine."""

from tasks.engines.base import Engine
from tasks.engines.llama_cpp.usage import usage

ENGINE = Engine(
    name="llama.cpp",
    runtime="llama-cpp",
    runner="tasks.engines.llama_cpp.runner:open_runner",
    serving="tasks.engines.llama_cpp.serving",
    usage=usage,
    native=("llama.cpp",),
)

"""llama.cpp as the rest of Hallmark knows it. Imports no engine."""

from tasks.engines.base import Engine, Server
from tasks.engines.llama_cpp.usage import OPTION_FACTS, usage

ENGINE = Engine(
    name="llama.cpp",
    runtime="llama-cpp",
    runner="tasks.engines.llama_cpp.runner:open_runner",
    serving="tasks.engines.llama_cpp.serving",
    usage=usage,
    server=Server("tasks.engines.llama_cpp.server:read_chats", OPTION_FACTS),
    requirements=("llama-cpp-python==0.3.36", "numpy>=1.26"),
    native=("llama.cpp",),
)

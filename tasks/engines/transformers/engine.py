"""transformers as the rest of Hallmark knows it. Imports no engine."""

from tasks.engines.base import Engine
from tasks.engines.transformers.usage import usage

ENGINE = Engine(
    name="transformers",
    runtime="torch",
    runner="tasks.engines.transformers.runner:open_runner",
    serving="tasks.engines.transformers.serving",
    usage=usage,
    requirements=("torch", "transformers", "safetensors"),
)

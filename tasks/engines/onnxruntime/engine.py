"""onnxruntime as the rest of Hallmark knows it. Imports no engine."""

from tasks.engines.base import Engine
from tasks.engines.onnxruntime.usage import usage

ENGINE = Engine(
    name="onnxruntime",
    runtime="onnxruntime",
    runner="tasks.engines.onnxruntime.runner:open_runner",
    serving="tasks.engines.onnxruntime.serving",
    usage=usage,
    requirements=("onnxruntime", "numpy>=2", "tokenizers>=0.22"),
)

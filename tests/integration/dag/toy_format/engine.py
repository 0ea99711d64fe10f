"""The toy's engine as the rest of Hallmark knows it."""

from tasks.formats.zipped.usage import usage

from tasks.engines.base import Engine

ENGINE = Engine(
    name="zip-reader",
    runtime="torch",
    runner="tasks.formats.zipped.runner:open_runner",
    serving="tasks.formats.zipped.serving",
    usage=usage,
)

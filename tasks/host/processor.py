"""The name of this host's processor."""

import platform
from functools import cache

from tasks.host.proc import processor_model


@cache
def processor() -> str:
    """Return the processor's model name, for numbers that depend on it."""
    return processor_model() or platform.processor() or platform.machine()

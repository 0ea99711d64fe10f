"""Checks that the model needs no Python code of its repository (`auto_map`): Hallmark never executes any.

It runs before `check_code`, which offers a line for the recipe. No line helps a model that only its own code can build.
"""

from importlib.metadata import version

from tasks.checkpoint.known_models import causal_class, is_native
from tasks.checkpoint.model_config import CONFIG, UNKNOWN
from tasks.checkpoint.model_kinds import kind_of_class
from tasks.checkpoint.snapshot import Snapshot
from tasks.errors import Unsupported
from tasks.source.parameters import ScanParameters


def check_needed_code(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Unsupported for a model that config.json gives to code, and that transformers does not have itself."""
    content = snapshot.json(CONFIG) or {}
    if "auto_map" not in content:
        return f"{CONFIG} names no Python code", False
    config = snapshot.config
    built = causal_class(config.model_type)
    if does := kind_of_class(config.architecture):
        raise Unsupported(f"{CONFIG} names {config.architecture}, which {does}; release a causal language model.")
    # The view of the source names the class of the type if the file gives no list of names.
    if built is None or (config.architecture != UNKNOWN and not is_native(config.architecture, config.model_type)):
        raise Unsupported(
            f"{CONFIG}: transformers {version('transformers')} has no causal language model {config.architecture} of "
            f"type {config.model_type}, so the model needs Python code of its repository (auto_map), which Hallmark "
            "never executes; release another model."
        )
    return f"transformers has {built} itself", True

"""Names the architecture in config.json where the publisher left it out: transformers finds the class by `model_type`.

Converters find it by `architectures`, a list of names.
"""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.known_models import causal_class
from tasks.checkpoint.model_config import CONFIG

FIELD = "architectures"


def name_architecture(config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return config.json with a list of architectures, and a note if it had none.

    It stays as it is if it names one, or if transformers has no causal language model of its type.
    """
    name = None if config.get(FIELD) else causal_class(str(config.get("model_type")))
    if name is None:
        return dict(config), ()
    return {**config, FIELD: [name]}, (f"{CONFIG} names no architecture; the release names {name}.",)

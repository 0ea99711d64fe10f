"""Compares the epsilons of norms in a GGUF file with config.json. No other check sees a wrong one.

An epsilon that is a hundred times too large hardly moves the probabilities.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.checkpoint.model_config import epsilons
from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.formats.gguf.header import Header

KEYS = ("layer_norm_epsilon", "layer_norm_rms_epsilon", "group_norm_epsilon")
"""Keys of the metadata, without `ARCHITECTURE.attention.`."""


def check_epsilons(header: Header, config: Mapping[str, Any]) -> None:
    """Raise Corrupt if the file states an epsilon that is none of config.json's, in float32.

    A configuration that names none leaves it to the code of its family, and nothing is compared.
    """
    named = epsilons(config)
    if not named:
        return
    architecture = header.text("general.architecture")
    for key in (f"{architecture}.attention.{key}" for key in KEYS):
        stated = header.number(key)
        if stated is not None and np.float32(stated) not in map(np.float32, named.values()):
            wanted = " and ".join(f"{name} {value:.4g}" for name, value in named.items())
            raise Corrupt(f"{header.path.name} has {key} {stated:.4g}, but config.json has {wanted}; {MAKE_AGAIN}.")

"""Settles the name of the architecture in config.json: transformers finds the class by `model_type` alone.

Converters and other servers find it by `architectures`, a list of names. Publishers leave it out, or a training saves
the name of its wrapper, such as FSDPQwen2ForCausalLM and PeftModelForCausalLM.
"""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.known_models import causal_class, is_bare, is_class
from tasks.checkpoint.model_config import CONFIG

FIELD = "architectures"


def name_architecture(config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return config.json with a list of architectures that begins with a known one, and a note on what is odd about it.

    A name that transformers does not know gives way to the class of the `model_type`: `scan` compared the weights with
    it. The name stays if the class lies in the repository (`auto_map`), if transformers has no causal language model of
    this type, or if only its capital letters differ: MPTForCausalLM is an older name, which converters know.
    """
    built, listed = causal_class(str(config.get("model_type"))), config.get(FIELD)
    if built is None:
        return dict(config), ()
    if not listed:
        return {**config, FIELD: [built]}, (f"{CONFIG} names no architecture; the release names {built}.",)
    named = listed[0] if isinstance(listed, list) else listed
    if not isinstance(listed, list) or not isinstance(named, str):
        return {**config, FIELD: [built]}, (f"{FIELD} in {CONFIG} is no list of names; the release names {built}.",)
    if is_bare(named):
        note = (
            f"{CONFIG} names {named}, a model without an output head, such as those that embed texts; "
            f"the release is a language model, {built}."
        )
        return dict(config), (note,)
    if "auto_map" in config or is_class(named) or named.casefold() == built.casefold():
        return dict(config), ()
    note = f"{CONFIG} names the architecture {named}, which transformers does not have; the release names {built}."
    return {**config, FIELD: [built]}, (note,)

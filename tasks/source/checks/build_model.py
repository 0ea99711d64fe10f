"""Builds a snapshot's configuration, tokenizer and architecture with transformers, in a process with limits.

transformers and the libraries of tokenizers raise any error for some files, and die of others. Standard input is a JSON
object:

    folder         the snapshot
    shapes         the shape of every tensor of the weights, by name
    types          its type as safetensors spells it, by name
    extra_layers   how many layers that predict further tokens follow the model's own in the weights
    tokenizer      whether the snapshot has a tokenizer

Standard output is a line of JSON for each stage that begins, {"stage": its name}, and at last one of

    {"stage": name, "error": text}    what was raised
    {"unknown": true, "kind": text}   transformers has no causal language model of this type; what the models of the
                                      type do, or null
    {"other": text}                   the class that the snapshot names is no causal language model; what it does
    {"both_ways": text}               it reads a text in both directions; the field that says so, with its value
    {"differences": null}             transformers does not build all of it as a causal language model
    {"class": name, "differences": object, "quantized": names}
                                      the class that transformers builds, the fields of `Differences`, and the weights
                                      that are stored in a type for quantized numbers

A model of 94 layers with 128 experts each, on the device "meta", takes less than a minute of processor time and 2 GB.
"""

import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

CPU_SECONDS = 300
MEMORY_BYTES = 16 * 1024**3
"""Of address space; torch reserves more than it uses."""
FILE_BYTES = 1024
"""torch looks for a folder for temporary files by writing a few bytes there."""


def main() -> None:
    """Set the limits, build one thing after the other, and print what came of it."""
    # At the first limit comes SIGXCPU, at the second SIGKILL, which others send, too.
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = json.load(sys.stdin)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # A library that prints must not print between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    stage = "libraries"

    def begin(name: str) -> None:
        nonlocal stage
        stage = name
        say({"stage": name})

    try:
        say(build(asked, begin))
    except Exception as error:  # The libraries raise any type.
        say({"stage": stage, "error": describe(error)})


def build(asked: dict[str, Any], begin: Any) -> dict[str, Any]:
    """Build everything; `begin` is called with the name of each stage. Raises whatever the libraries raise."""
    from tasks.checkpoint import load
    from tasks.checkpoint.architecture import compare, find_quantized
    from tasks.checkpoint.known_models import is_built, is_language_model
    from tasks.checkpoint.model_kinds import kind_of_class, kind_of_type, reads_both_ways
    from tasks.checkpoint.snapshot import Snapshot
    from tasks.checkpoint.windows_of_layers import missing_size

    folder = Path(asked["folder"])
    snapshot = Snapshot(folder)
    config = snapshot.config
    if not is_language_model(config.model_type):
        return {"unknown": True, "kind": kind_of_type(config.model_type)}
    if other := kind_of_class(config.architecture):
        return {"other": other}
    begin("configuration")
    loaded = load.load_config(folder)
    if field := reads_both_ways(loaded):
        return {"both_ways": field}
    if contradiction := missing_size(loaded):
        return {"stage": "configuration", "error": contradiction}
    begin("generation")
    load.load_generation_config(folder)
    if asked["tokenizer"]:
        begin("tokenizer")
        load.load_tokenizer(folder)
    if not is_built(config.architecture, config.model_type):
        return {"differences": None}
    begin("architecture")
    model = load.build_without_weights(folder)
    begin("weights")
    shapes, extra_layers = asked["shapes"], asked["extra_layers"]
    quantized = find_quantized(model, asked["types"], shapes, extra_layers)
    differences = compare(model, shapes, extra_layers)
    return {
        "class": type(model).__name__,
        "differences": asdict(differences),
        "quantized": [name for name in quantized if name not in differences.unexpected],
    }


def describe(error: BaseException) -> str:
    """Return an error's own words; those of a library where one of our errors only passes them on."""
    from tasks.errors import HallmarkError

    if isinstance(error, HallmarkError) and error.__cause__ is not None:
        error = error.__cause__
    words = " ".join(str(error).split())
    return words if len(words.split()) > 2 else f"{type(error).__name__}: {words}".rstrip(": ")


if __name__ == "__main__":
    main()

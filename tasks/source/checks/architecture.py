"""Checks that transformers can build the snapshot's model, and that the weights fit it in names, shapes and types.

The configuration, the tokenizer and the architecture are built in a sandbox, before any hour is spent on the model.
Loaders fill missing weights with random numbers and drop surplus ones, with a warning at most.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from tasks.checkpoint.model_config import CONFIG, GENERATION
from tasks.checkpoint.named_tokens import CONFIG as TOKENIZER
from tasks.checkpoint.named_tokens import MAP, read_named
from tasks.checkpoint.preferences import without_preferences
from tasks.checkpoint.reasons import reason
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.tokenizer_kind import tokenizer_kind
from tasks.checkpoint.typed_fields import with_typed_fields
from tasks.checkpoint.unused import is_value_head
from tasks.checkpoint.view_files import write
from tasks.errors import Corrupt, Refused, ToolFailed, Unsupported
from tasks.source.checks.sandbox import Exceeded, Failed, ask
from tasks.source.checks.weights import quantized
from tasks.source.parameters import ScanParameters

SCRIPT = Path(__file__).parent / "build_model.py"
WALL_SECONDS = 900

SUBJECTS = {
    "configuration": f"{CONFIG}: transformers cannot read it",
    "generation": f"{GENERATION}: transformers cannot read it",
    "tokenizer": f"{TOKENIZER}: transformers cannot build the tokenizer",
    "architecture": f"{CONFIG}: transformers cannot build the model that it describes",
    "weights": f"{CONFIG}: transformers cannot hold the weights against it",
}
"""The beginning of the message for each stage of the script."""

OTHER = "release a causal language model"
"""What to do about a sound model of another kind."""

WRAPPERS = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_checkpoint_wrapped_module": "activation checkpointing",
    "_forward_module": "Lightning",
    "base_model": "PEFT",
    "module": "DataParallel or DeepSpeed",
}
"""Parts of names that a wrapper of training adds, and the wrapper."""


def check_architecture(snapshot: Snapshot, _: ScanParameters) -> tuple[str, bool]:
    """Raise Unsupported for what transformers does not know or cannot build, for a model that is no causal language
    model, and for quantized weights that no quantization_config describes; Corrupt for weights that are not those of
    the architecture; Refused for exceeded limits.
    """
    config, tensors = snapshot.config, snapshot.tensors
    if config.quantization:
        return f"the weights are quantized ({config.quantization})", False
    answer = _build(snapshot)
    if "error" in answer:
        _raise_cannot(snapshot, answer["stage"], answer["error"])
    if "unknown" in answer:
        _raise_unknown(snapshot, answer["kind"])
    if "other" in answer:
        raise Unsupported(f"{CONFIG} names {config.architecture}, which {answer['other']}; {OTHER}.")
    if "both_ways" in answer:
        raise Unsupported(
            f"{CONFIG}: {answer['both_ways']}, so the model reads a text in both directions, as encoders do; {OTHER}."
        )
    differences = answer.get("differences")
    if differences is None:
        return f"transformers has no causal language model {config.architecture} of type {config.model_type}", False
    for name in answer["quantized"]:
        raise quantized(name, tensors[name])
    built = answer["class"]
    _judge(snapshot, built, differences)
    heads = sum(1 for name in tensors if is_value_head(name))
    note = f"; the release leaves out the value head of training, tensors: {heads}" if heads else ""
    return f"{built}: {len(tensors) - heads} tensors have its names and shapes{note}", True


def _build(snapshot: Snapshot) -> dict[str, Any]:
    question = {
        "shapes": {name: list(tensor.shape) for name, tensor in snapshot.tensors.items()},
        "types": {name: tensor.dtype for name, tensor in snapshot.tensors.items()},
        "extra_layers": snapshot.config.extra_layers,
        # `check_tokenizer` loads a tokenizer.json, and the view of the source settles what the files beside it say.
        "tokenizer": tokenizer_kind(snapshot) != "none" and not (snapshot.folder / "tokenizer.json").is_file(),
    }
    try:
        with _settled(snapshot) as folder:
            return ask(SCRIPT, {"folder": str(folder), **question}, with_product=True, wall_seconds=WALL_SECONDS)
    except Exceeded as error:
        subject = SUBJECTS.get(_stage(error.written), "transformers cannot be imported")
        raise Refused(
            f"{subject} within five minutes of processor time and 16 GB; do not use this repository."
        ) from error
    except Failed as error:
        return {"stage": _stage(error.written), "error": str(error)}


@contextmanager
def _settled(snapshot: Snapshot) -> Iterator[Path]:
    """Yield the folder to build from: links to the snapshot, with configurations that transformers can read.

    The snapshot is another task's artifact, so nothing is written there.
    """
    config, _ = without_preferences(snapshot.json(CONFIG) or {})
    config, _ = with_typed_fields(config)
    tokenizer, _ = read_named(snapshot)
    with TemporaryDirectory(prefix="hallmark-scan-") as name:
        folder = Path(name)
        for path in snapshot.folder.absolute().iterdir():
            if path.name != MAP:
                (folder / path.name).symlink_to(path)
        write(snapshot, folder, CONFIG, config)
        write(snapshot, folder, TOKENIZER, tokenizer)
        yield folder


def _stage(written: bytes) -> str:
    lines = [line for line in written.splitlines(keepends=True) if line.endswith(b"\n")]
    return str(json.loads(lines[-1])["stage"]) if lines else "libraries"


def _raise_cannot(snapshot: Snapshot, stage: str, words: str) -> NoReturn:
    why = reason(words).rstrip(".")
    if stage not in SUBJECTS:
        raise ToolFailed(f"transformers cannot be imported ({why}); build the runtime again with 'make setup'.")
    quoted = why.partition("'")[2].rpartition("'")[0]
    field = next((path for path, value in _fields(snapshot.json(CONFIG) or {}) if value == quoted), None)
    if stage in ("configuration", "architecture") and field:
        why = f"{field} is {quoted!r}: {why}"
    raise Unsupported(f"{SUBJECTS[stage]} ({why}); ask the publisher to fix it.")


def _raise_unknown(snapshot: Snapshot, kind: str | None) -> NoReturn:
    content = snapshot.json(CONFIG) or {}
    named, writer = content.get("model_type"), content.get("transformers_version")
    if named is None:
        raise Unsupported(
            f"{CONFIG} has no model_type, by which transformers finds its class; ask the publisher for it."
        )
    if kind:
        raise Unsupported(f"{CONFIG}: model_type is {named!r}, a model that {kind}; {OTHER}.")
    written = f" (it was written by transformers {writer[:40]})" if isinstance(writer, str) else ""
    raise Unsupported(
        f"{CONFIG}{written}: model_type is {named!r}, and transformers {version('transformers')}, which Hallmark uses, "
        "has no causal language model of this type; release another model, or update Hallmark if the type is newer."
    )


def _fields(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of every value of an object, those of inner objects with their place: `rope_scaling.type`."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{above}{name}.")
        else:
            yield above + name, value


def _judge(snapshot: Snapshot, built: str, differences: Mapping[str, Any]) -> None:
    """Raise Corrupt with the first difference from the class that transformers builds, the one first that explains
    most.
    """
    unexpected, missing = differences["unexpected"], differences["missing"]
    for name in unexpected:
        wrapper = next((part for part in name.split(".") if part in WRAPPERS), None)
        if wrapper and missing:
            raise Corrupt(
                f"{_file(snapshot, name)}: the tensor {name!r} has the part '{wrapper}.' in its name, which "
                f"{WRAPPERS[wrapper]} adds while a model is trained; ask the publisher to save the model without it."
            )
    for name, has, wants in differences["mismatched"]:
        raise Corrupt(
            f"{_file(snapshot, name)}: the tensor {name!r} has the shape {has}, but by {CONFIG} it has {wants} "
            f"(tensors affected: {len(differences['mismatched'])}); ask the publisher to fix it."
        )
    for name, why in differences["unconverted"]:
        raise Corrupt(
            f"{CONFIG}: the weights do not make {name!r} of {built} ({reason(why)}); ask the publisher to fix them."
        )
    if missing:
        raise Corrupt(
            f"The weights lack {missing[0]!r}, which {built} has by {CONFIG} (tensors affected: "
            f"{len(missing)}); ask the publisher to fix them."
        )
    if unexpected:
        raise Corrupt(
            f"{_file(snapshot, unexpected[0])}: {built} has no tensor {unexpected[0]!r} by {CONFIG}, so it "
            f"would be dropped (tensors affected: {len(unexpected)}); ask the publisher to fix it."
        )


def _file(snapshot: Snapshot, name: str) -> str:
    """The file of a tensor; the configuration for a parameter that is made of several tensors."""
    tensor = snapshot.tensors.get(name)
    return tensor.file if tensor else CONFIG

"""The conversion task of the toy."""

import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load_file, save
from tasks.formats.zipped.engine import ENGINE
from tasks.formats.zipped.inspect import MODEL, inspect

from tasks.checkpoint.companions import copy_companions
from tasks.contract import TaskContext
from tasks.engines.mlmodel import write_mlmodel
from tasks.formats.base import ConvertParameters


def convert(parameters: ConvertParameters, context: TaskContext) -> Mapping[str, Any]:
    """Round the weights to bfloat16 and put them into the archive, with what else transformers reads."""
    snapshot = context.materialize("snapshot")
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(snapshot / "model.safetensors").items()}
    with zipfile.ZipFile(context.output / MODEL, "w") as archive:
        for name in copy_companions(snapshot, context.scratch):
            archive.write(context.scratch / name, name)
        archive.writestr("model.safetensors", save(tensors, {"format": "pt"}))
    write_mlmodel(
        context.output, format="zip-checkpoint", requirements=["torch", "transformers"], engine=ENGINE.serving_file
    )
    return inspect(context.output)

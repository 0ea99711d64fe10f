"""The conversion task: an F16 GGUF from the snapshot, an importance matrix, or a quantized GGUF from these bases."""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.companions import NOTICES, copy_companions
from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.engines.llama_cpp.engine import ENGINE
from tasks.engines.mlmodel import write_mlmodel
from tasks.formats.base import ConvertParameters
from tasks.formats.gguf.f16 import make_f16
from tasks.formats.gguf.imatrix import make_imatrix
from tasks.formats.gguf.quantize import quantize
from tasks.formats.gguf.target import F16_SCHEME, IMATRIX_SCHEME


def convert(parameters: ConvertParameters, context: TaskContext) -> Mapping[str, Any]:
    """Make the target's files in the context's output and return their facts.

    A model's folder holds the GGUF file, the licence's text where there is one, and what makes it an MLflow model.
    """
    target = parameters.target
    tools = llama_cpp()
    context.version("llama.cpp", f"{tools.version} ({tools.commit})")
    if target.scheme == IMATRIX_SCHEME:
        return make_imatrix(context)
    facts = make_f16(context) if target.scheme == F16_SCHEME else quantize(target, context)
    copy_companions(context.materialize(target.requires[0]), context.output, NOTICES)
    requirements = ENGINE.pinned_requirements()
    write_mlmodel(context.output, format="gguf", requirements=requirements, engine=ENGINE.serving_file)
    return facts

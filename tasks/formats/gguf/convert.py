"""The conversion task of GGUF.

It makes one of three things: the F16 file from the snapshot, the importance matrix from the F16 file, or a quantized
file from the F16 file and, for some types, the importance matrix.
"""

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
    """Write the target's files into the context's output folder and return their facts.

    A model's folder contains the GGUF file, the licence files of the source, and the files that make the folder an
    MLflow model. The folder of the importance matrix contains only the matrix.
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

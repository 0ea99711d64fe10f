"""Makes a quantized GGUF file from the F16 file with llama.cpp's llama-quantize.

llama-quantize silently stores some matrices in another type than the one asked for. The facts name these fallbacks, and
a file with nothing but fallbacks is refused.
"""

import re
from collections import Counter
from typing import Any

from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import MAKE_AGAIN, Corrupt, Unsupported
from tasks.formats.base import Target
from tasks.formats.gguf.finite import first_nonfinite
from tasks.formats.gguf.header import Header, read_header
from tasks.formats.gguf.imatrix import caveats
from tasks.formats.gguf.inspect import facts_of, model_file
from tasks.formats.gguf.quantizations import QUANTIZATIONS, SUPER_BLOCK
from tasks.formats.gguf.stored_types import check_made, quantizable, shape
from tasks.formats.gguf.target import F16, IMATRIX, INHERITED
from tasks.host.tools import run_tool

NAMED_FALLBACKS = 8
"""How many fallback tensors the facts name; further ones are only counted."""


def quantize(target: Target, context: TaskContext) -> dict[str, Any]:
    """Write `<Name>-<TYPE>.gguf` and return its facts, among them `fallbacks` (see find_fallbacks).

    Raises Unsupported if no matrix can be stored in the type asked for. Raises Corrupt if the tool wrote no file, if
    the new file does not have the tensors of the F16 file, if they are not stored in the type asked for, or if one of
    its scales is not finite.
    """
    base = model_file(context.materialize(F16))
    # Relative names, because the tool writes the name of the importance matrix into its file.
    (context.scratch / "model.gguf").symlink_to(base.resolve())
    options: list[str] = []
    if IMATRIX in target.requires:
        (context.scratch / "imatrix.gguf").symlink_to(model_file(context.materialize(IMATRIX)).resolve())
        options = ["--imatrix", "imatrix.gguf"]
    kind = target.scheme.upper()
    output = context.output / f"{base.name.removesuffix('.gguf').removesuffix('-F16')}-{kind}.gguf"
    context.progress(f"quantizing to {kind}", 0.0)
    run_tool(
        [llama_cpp().bin / "llama-quantize", *options, "model.gguf", output, kind, str(context.threads)],
        cwd=context.scratch,
        log=context.scratch / "quantize.log",
        on_line=_Progress(context, kind),
        subject=base.name,
        remedy=f"leave {target.name} out of the recipe for this model",
    )
    header, original = read_header(output), read_header(base)
    check_same_tensors(original, header)
    check_made(header, original, target.scheme)
    broken = first_nonfinite(header)
    if broken:
        raise Corrupt(
            f"{output.name}: tensor {broken.name!r} has scales that are NaN or infinite; check the source's weights."
        )
    fallbacks = find_fallbacks(header, target)
    inherited = {name: fact for name, fact in context.inputs[F16].facts.items() if name in INHERITED}
    facts = {**facts_of(header), **inherited, "imatrix": bool(options), "fallbacks": fallbacks}
    added = caveats(context.inputs[IMATRIX].facts) if options else []
    return {**facts, "caveats": [*inherited.get("caveats", ()), *added]} if added else facts


def check_same_tensors(base: Header, made: Header) -> None:
    """Raise Corrupt unless both files have tensors with the same names and shapes."""
    shapes = [{tensor.name: shape(tensor) for tensor in header.tensors} for header in (base, made)]
    if shapes[0] != shapes[1]:
        name = next(iter(set(shapes[0].items()) ^ set(shapes[1].items())))[0]
        raise Corrupt(f"{made.path.name}: tensor {name!r} differs from {base.path.name}; {MAKE_AGAIN}.")


def find_fallbacks(header: Header, target: Target) -> dict[str, Any]:
    """Describe the matrices that llama.cpp stored in another type, because their rows do not divide into its blocks.

    Returns `count` (such matrices), `of` (all quantized matrices), `types` (type to count), `share` (their share of the
    weights, 0 to 1) and `tensors` (the first few by name). Raises Unsupported if every matrix is such a fallback.
    """
    meant = QUANTIZATIONS[target.scheme].types
    matrices = quantizable(header)
    fallen = [tensor for tensor in matrices if tensor.type.name not in meant and tensor.dimensions[0] % SUPER_BLOCK]
    if len(fallen) == len(matrices):
        held = ", ".join(sorted({tensor.type.name for tensor in header.tensors}))
        raise Unsupported(
            f"{target.name}: no matrix has rows that divide into blocks of this type (the file would contain {held}); "
            "choose gguf-q8_0, gguf-q5_0 or gguf-q4_0, whose blocks are smaller."
        )
    return {
        "count": len(fallen),
        "of": len(matrices),
        "types": dict(sorted(Counter(tensor.type.name for tensor in fallen).items())),
        "share": round(sum(tensor.elements for tensor in fallen) / sum(tensor.elements for tensor in matrices), 4),
        "tensors": [f"{tensor.name}: {tensor.type.name}" for tensor in fallen[:NAMED_FALLBACKS]],
    }


class _Progress:
    """Reports progress: reads the lines of llama-quantize, which begin with `[ 12/ 290]`."""

    def __init__(self, context: TaskContext, kind: str) -> None:
        self.context, self.kind = context, kind

    def __call__(self, line: str) -> None:
        done = re.match(r"\[\s*(\d+)/\s*(\d+)\]", line)
        if done:
            self.context.progress(f"quantizing to {self.kind}", int(done[1]) / int(done[2]))

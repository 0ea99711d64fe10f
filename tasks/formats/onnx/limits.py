"""Models that cannot become an ONNX graph, found by exporting a tiny model of each family.

The plan reads this module, so it imports no library.
"""

from collections.abc import Iterable

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.memories import STATEFUL, WITHOUT_KEYS_AND_VALUES
from tasks.checkpoint.rotary import BY_LENGTH
from tasks.errors import Unsupported

NOT_EXPORTED = frozenset(("mpt",))
"""Values of `model_type` whose model torch's exporter refuses. MPT's positions (ALiBi) are cut to the length of the
cache, which the exporter takes for a constant."""


def check(analysis: Analysis) -> None:
    """Raise Unsupported for a model that cannot be exported.

    That is one that needs its repository's code, is not a causal language model or is a mixture of experts, keeps
    another state than keys and values, has positions that depend on the text's length, or has no tokenizer.
    """
    if analysis.needs_code:
        raise Unsupported(
            f"{analysis.architecture} needs Python code from its repository, which Hallmark never executes; "
            "leave the ONNX targets out of the recipe for this model."
        )
    if analysis.experts:
        raise Unsupported(
            f"{analysis.architecture} is a mixture of experts; its ONNX graph would copy the chosen experts' weights "
            "for every token of a prompt. Leave the ONNX targets out of the recipe for this model."
        )
    if analysis.model_type.removesuffix("_text") in STATEFUL | WITHOUT_KEYS_AND_VALUES:
        raise Unsupported(
            f"{analysis.architecture} keeps another state than keys and values of each layer, which the exported ONNX "
            "graph does not support; leave the ONNX targets out of the recipe for this model."
        )
    if analysis.model_type in NOT_EXPORTED:
        raise Unsupported(
            f"torch's exporter cannot export {analysis.architecture} with texts of any length; "
            "leave the ONNX targets out of the recipe for this model."
        )
    if not analysis.architecture.endswith(("ForCausalLM", "LMHeadModel")):
        raise Unsupported(
            f"{analysis.architecture} is not a causal language model; leave the ONNX targets out of the recipe."
        )
    if analysis.tokenizer == "none":
        raise Unsupported(
            "The repository has no tokenizer that Hallmark reads, so the artifact could not be served; "
            "add tokenizer.json to it."
        )
    check_rotary(analysis.rope_types)


def check_rotary(types: Iterable[object]) -> None:
    """Raise Unsupported for a type of rotary positions whose frequencies depend on the length of the text.

    torch's exporter runs the model once, and would write the frequencies of that one length into the graph.
    """
    for name in types:
        if name in BY_LENGTH:
            raise Unsupported(
                f"config.json has {name!r} rotary positions, which depend on the text's length "
                "and cannot be exported to ONNX; leave the ONNX targets out of the recipe for this model."
            )

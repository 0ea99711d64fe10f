"""Checks that a GGUF file stores its matrices in the type that it declares.

A file declares one type for all (`general.file_type`), and a type for each tensor. Nothing makes the two agree: a
quantizer that only copies its input gives a sound file that is not quantized. The rules here are those of llama.cpp's
`src/llama-quant.cpp`: which tensors it quantizes (`tensor_allows_quantization`), and what it stores instead where the
rows of a matrix do not divide into blocks (`tensor_type_fallback`).
"""

from collections.abc import Sequence

from tasks.errors import MAKE_AGAIN, Corrupt
from tasks.formats.gguf.header import Header, TensorInfo
from tasks.formats.gguf.quantizations import BLOCK, QUANTIZATIONS, SUPER_BLOCK, Quantization

DECLARED = "general.file_type"
"""The key of the declared type. Its numbers are those of `llama_ftype` in llama.h."""

F16_FILE = 1

FLOATS = ("f16", "f32", "bf16")
FALLBACKS = ("iq4_nl", "q4_0", "q5_0", "q5_1", "q8_0", "f16")
"""The types of matrices whose rows do not divide into blocks of 256."""

EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"
"""The names of the table of tokens and of the output head."""

NEVER_QUANTIZED = (
    *("_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj"),
    *("position_embd.weight", "token_types.weight", "ssm_conv1d", "shortconv.conv.weight"),
    *("indexer.k_proj.weight", "indexer.q_proj.weight"),
    *("time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight"),
    *("time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight"),
    *("time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight"),
    *("time_mix_g1.weight", "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight"),
    *("time_mix_lerp_fused.weight", "attn_rel_b.weight", ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_"),
    *(".rel_pos", ".patch_embd", ".patch_merger", "a.rvq.codebook", "mm.a.code_embd"),
)
"""Parts of the names of matrices that stay as they are: small ones, and those that rounding would spoil."""

NEVER_QUANTIZED_OF = {
    "glm5-next": (
        *("hc_", "indexer.attn_q_b", "indexer.attn_k", "indexer.proj", "indexer_compressor_gate"),
        *("indexer_compressor_ape", "ssm_f_a.weight", "ssm_f_b.weight", "ssm_g_a.weight", "ssm_g_b.weight"),
        *("ssm_beta.weight", "attn_kv_a_mqa.weight", "attn_k_b.weight", "attn_v_b.weight"),
    )
}
"""The same for single architectures, by their name in the file."""

SIZE_BAND = (0.8, 1.25)
"""How far the bytes of a quantized file's tensors may be from the prediction, as factors.

Measured on four models of two layers, where a layer with more bits weighs most: 0.954 to 1.029. They were two Llamas,
one of them with rows that do not divide, a Mixtral and a Qwen2-MoE. A file that was left in float16 has at least 1.88.
"""


def check_declared(header: Header) -> None:
    """Raise Corrupt if a matrix is stored in another type than the file's declared type allows.

    A file that declares nothing, or a type that no target of this format has, is not checked.
    """
    declared = header.number(DECLARED)
    if declared == F16_FILE:
        for tensor in header.tensors:
            if tensor.type.quantized:
                raise _corrupt(header, tensor, "f16")
    for scheme, quantization in QUANTIZATIONS.items():
        if quantization.file_type == declared:
            for tensor in quantizable(header):
                if tensor.type.name not in _allowed(quantization, tensor, header):
                    raise _corrupt(header, tensor, scheme)


def check_made(header: Header, base: Header, scheme: str) -> None:
    """Raise Corrupt unless a file that was just made from `base` is of the type `scheme`, and of about its size."""
    quantization = QUANTIZATIONS[scheme]
    declared = header.number(DECLARED)
    if declared != quantization.file_type:
        raise Corrupt(
            f"{header.path.name} declares the file type {declared}, but {scheme} is {quantization.file_type}; "
            f"llama-quantize did not do what it was asked for; {MAKE_AGAIN}."
        )
    check_declared(header)
    made = sum(tensor.bytes for tensor in header.tensors)
    predicted = predicted_bytes(base, quantization)
    if not SIZE_BAND[0] <= made / predicted <= SIZE_BAND[1]:
        raise Corrupt(
            f"{header.path.name} has {made} bytes of tensors, but {scheme} of this model takes about {predicted:.0f}; "
            f"llama-quantize did not do what it was asked for; {MAKE_AGAIN}."
        )


def quantizable(header: Header) -> list[TensorInfo]:
    """Return the tensors that llama-quantize stores in the type asked for, or in a fallback."""
    architecture = header.text("general.architecture") or ""
    exempt = (*NEVER_QUANTIZED, *NEVER_QUANTIZED_OF.get(architecture, ()))
    return [
        tensor
        for tensor in header.tensors
        if len(shape(tensor)) > 1 and tensor.name.endswith("weight") and not any(part in tensor.name for part in exempt)
    ]


def shape(tensor: TensorInfo) -> Sequence[int]:
    """Return the dimensions without trailing ones: llama.cpp's tools drop them, so [64, 1] becomes [64]."""
    rank = max((place for place, length in enumerate(tensor.dimensions, 1) if length > 1), default=1)
    return tensor.dimensions[:rank]


def _allowed(quantization: Quantization, tensor: TensorInfo, header: Header) -> tuple[str, ...]:
    allowed = quantization.types
    architecture = header.text("general.architecture")
    if architecture == "falcon" or header.number(f"{architecture}.expert_count") == 8:
        # Falcon's output matrix, and keys and values of models with eight experts, get eight bits.
        allowed = (*allowed, "q8_0")
    if tensor.dimensions[0] % SUPER_BLOCK:
        allowed = (*allowed, *FALLBACKS)
        if tensor.dimensions[0] % BLOCK == 0:
            allowed = tuple(name for name in allowed if name != "f16")
    return allowed


def predicted_bytes(base: Header, quantization: Quantization) -> float:
    """Return the expected bytes of the tensors that llama-quantize makes of those in `base`."""
    tied = not any(tensor.name == "output.weight" for tensor in base.tensors)
    chosen = {tensor.name for tensor in quantizable(base)}
    return sum(
        tensor.elements * _predicted_bits(tensor, quantization, tied) / 8 if tensor.name in chosen else tensor.bytes
        for tensor in base.tensors
    )


def _predicted_bits(tensor: TensorInfo, quantization: Quantization, tied: bool) -> float:
    if tensor.dimensions[0] % BLOCK:
        return 16.0
    odd = tensor.dimensions[0] % SUPER_BLOCK != 0
    if tensor.name == OUTPUT or (tied and tensor.name == EMBEDDING):
        return 8.5 if odd else quantization.output_bits
    if odd and quantization.fallback_bits is not None:
        return quantization.fallback_bits
    return quantization.embedding_bits if tensor.name == EMBEDDING else quantization.bits


def _corrupt(header: Header, tensor: TensorInfo, declared: str) -> Corrupt:
    return Corrupt(
        f"{header.path.name} declares the type {declared}, but tensor {tensor.name!r} is stored in {tensor.type.name}; "
        f"{MAKE_AGAIN}."
    )

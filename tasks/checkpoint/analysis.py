"""What `analyze` finds out about a snapshot; read by preflight, by every format and by the report."""

from typing import Literal

from tasks.records import Record


class Analysis(Record):
    """Facts of a model, from its configuration, its weights' headers and its tokenizer files.

    Sizes are in bytes, lengths in tokens; `parameters` counts a tied embedding once. `experts` is 0 for a dense model.
    `odd_rows` counts matrices whose rows are no multiple of 256, which k-quants cannot hold. `quantization`
    is the method by which the source's weights are quantized already.
    """

    architecture: str
    model_type: str
    parameters: int
    embedding_parameters: int
    dtype: str
    weight_format: Literal["safetensors", "pytorch"]
    weight_bytes: int
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary_size: int
    context_length: int
    tied_embeddings: bool
    experts: int
    tokenizer: Literal["bpe", "byte-bpe", "unigram", "wordpiece", "sentencepiece", "none"]
    chat_template: bool
    matrices: int
    odd_rows: int
    needs_code: bool
    quantization: str | None = None

"""What `analyze` finds out about a snapshot; read by preflight, by every format and by the report."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.checkpoint.text_facts import TextFacts
from tasks.records import Record

Count = Annotated[int, Field(ge=0)]


class Analysis(Record):
    """Facts of a model, from its configuration, its weights' headers and its tokenizer files.

    Sizes are in bytes, lengths in tokens.

    parameters: how many the model has; a tied embedding counts once.
    experts: 0 for a dense model.
    row_lengths: how many matrices have rows of so many elements, by that length. Quantizations pack elements of a row
        together in blocks, so the lengths decide which of them can hold the model.
    quantization: the method by which the source's weights are quantized already.
    rope_types: the types of rotary positions that config.json names, sorted; without "default". Empty before version 4.
    text: how the source cuts, opens, ends and renders a text; None in an analysis of versions 1 and 2.
    """

    SCHEMA: ClassVar[int] = 4

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
    tokenizer: Literal["bpe", "byte-bpe", "unigram", "wordpiece", "wordlevel", "sentencepiece", "none"]
    chat_template: bool
    row_lengths: dict[Count, Count]
    needs_code: bool
    quantization: str | None = None
    rope_types: tuple[str, ...] = ()
    text: TextFacts | None = None

    @property
    def matrices(self) -> int:
        """How many matrices the model has."""
        return sum(self.row_lengths.values())

    def matrices_outside_blocks(self, block: int) -> int:
        """Return how many matrices have rows whose length is no multiple of `block`."""
        return sum(count for length, count in self.row_lengths.items() if length % block)

    @classmethod
    def upgrade(cls, fields: dict[str, Any], version: int) -> dict[str, Any]:
        """Version 3 had no `rope_types`, and version 2 no `text`.

        Version 1 counted all matrices, and those with rows that are no multiple of 256.

        Lengths of 1 and 256 stand for the two kinds; the real ones were not kept.
        """
        if version > 1:
            return fields
        newer = dict(fields)
        matrices, odd = newer.pop("matrices", None), newer.pop("odd_rows", None)
        if isinstance(matrices, int) and isinstance(odd, int):
            newer["row_lengths"] = {length: count for length, count in ((1, odd), (256, matrices - odd)) if count}
        return newer

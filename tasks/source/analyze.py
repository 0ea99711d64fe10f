"""Analyze a snapshot: read its configuration, its weights' headers and its tokenizer files.

Of the weights it reads only an embedding and a head that config.json ties and that are both stored.
The artifact holds analysis.json and the folder `view`, see tasks/source/view/make.py.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tasks.checkpoint.analysis import Analysis
from tasks.checkpoint.chat_templates import find_chat_templates
from tasks.checkpoint.dtypes import DTYPES
from tasks.checkpoint.embedding import count_tokens, find_embedding, find_head
from tasks.checkpoint.known_models import is_native
from tasks.checkpoint.model_config import CONFIG
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.stored_head import is_embedding
from tasks.checkpoint.tensor import Tensor
from tasks.checkpoint.tokenizer_kind import tokenizer_kind
from tasks.checkpoint.unused import is_unused
from tasks.checkpoint.view import FOLDER
from tasks.contract import TaskContext
from tasks.source.parameters import AnalyzeParameters
from tasks.source.view.make import make_view


def analyze(parameters: AnalyzeParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write analysis.json and the view, and return the analysis. Raises what `make_view` raises.

    A model that no format supports is no error here; preflight reports it.
    """
    snapshot = Snapshot(context.materialize("snapshot"))
    analysis = analyze_snapshot(snapshot)
    text = make_view(snapshot, context.output / FOLDER)
    left_out = context.inputs["snapshot"].facts.get("left_out", ())
    text = text.model_copy(update={"notes": (*left_out, *text.notes)})
    architecture = Snapshot(context.output / FOLDER).config.architecture
    analysis = analysis.model_copy(
        update={
            "architecture": architecture,
            "needs_code": analysis.needs_code and not is_native(architecture, analysis.model_type),
            "text": text,
            "chat_template": text.template_file is not None,
        }
    )
    for note in (text.class_replaced, *text.notes):
        if note:
            context.progress(note)
    (context.output / "analysis.json").write_text(analysis.to_json(), encoding="utf-8")
    context.progress(
        f"{analysis.architecture}, {analysis.parameters / 1e6:.1f} M parameters in {analysis.dtype}, "
        f"{analysis.layers} layers, vocabulary {analysis.vocabulary_size}, context {analysis.context_length}",
        1.0,
    )
    return analysis.model_dump(mode="json")


def analyze_snapshot(snapshot: Snapshot) -> Analysis:
    """Return the facts; raises Corrupt for a configuration, a header or a tied head that cannot be read."""
    config = snapshot.config
    weights = {name: tensor for name, tensor in snapshot.tensors.items() if not _is_unused(name, tensor)}
    found = find_embedding(weights, config.tied)
    embedding = weights[found[0]] if found else None
    head = find_head(weights, count_tokens(config, embedding)) if embedding else None
    if found and head == found[0]:
        head = None
    tied = config.tied if config.tied is not None else head is None
    if tied and found and head:
        tied = is_embedding(snapshot, found[0], head)
    counted = {name: tensor for name, tensor in weights.items() if not (tied and name == head)}
    matrices = [tensor for tensor in counted.values() if len(tensor.shape) >= 2]
    return Analysis(
        architecture=config.architecture,
        model_type=config.model_type,
        parameters=sum(tensor.elements for tensor in counted.values()),
        embedding_parameters=embedding.elements if embedding else config.vocabulary_size * config.embedding_size,
        dtype=_dtype(snapshot.tensors),
        weight_format=snapshot.weight_format,
        weight_bytes=sum(tensor.size for tensor in snapshot.tensors.values()),
        layers=config.layers,
        hidden_size=config.hidden_size,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        vocabulary_size=config.vocabulary_size or (count_tokens(config, embedding) if embedding else 0),
        context_length=config.context_length,
        tied_embeddings=tied,
        experts=config.experts,
        tokenizer=tokenizer_kind(snapshot),
        chat_template=bool(find_chat_templates(snapshot)),
        row_lengths=dict(sorted(Counter(tensor.shape[-1] for tensor in matrices).items())),
        needs_code="auto_map" in (snapshot.json(CONFIG) or {}),
        quantization=config.quantization,
        rope_types=config.rope_types,
    )


def _is_unused(name: str, tensor: Tensor) -> bool:
    return tensor.dtype == "BOOL" or is_unused(name, tensor.shape)


def _dtype(tensors: Mapping[str, Tensor]) -> str:
    """The type in which most bytes are stored."""
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.size
    ((spelled, _),) = sizes.most_common(1)
    return DTYPES[spelled].long_name

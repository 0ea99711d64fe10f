"""Makes the F16 GGUF file with llama.cpp's own converter. All other GGUF targets are made from this file.

llama.cpp's converter has no interface for the choice of a pre-tokenizer, so it runs inside the script hf_to_gguf.py,
which sets the choice before the conversion begins.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.checkpoint.embedding import find_lone_head
from tasks.checkpoint.ends import end_ids
from tasks.checkpoint.snapshot import Snapshot
from tasks.checkpoint.view import open_view
from tasks.contract import TaskContext
from tasks.engines.llama_cpp.build import llama_cpp
from tasks.errors import Corrupt, ToolFailed, Unsupported
from tasks.evaluation.caveats import as_facts
from tasks.formats.gguf.added_flags import caveats_of_flags
from tasks.formats.gguf.architectures import read_architectures
from tasks.formats.gguf.chat_settings import notes_of_settings
from tasks.formats.gguf.ends import caveats_of_ends, caveats_of_texts
from tasks.formats.gguf.finite import first_nonfinite
from tasks.formats.gguf.header import read_header
from tasks.formats.gguf.inspect import facts_of
from tasks.formats.gguf.loading import check_loads
from tasks.formats.gguf.missing_window import limit_context
from tasks.formats.gguf.normalization import normalization_caveats
from tasks.formats.gguf.pretokenizer import Candidate, caveats_of_hash, find_candidate
from tasks.formats.gguf.rotary import check_rotary
from tasks.formats.gguf.sentencepiece_model import add_sentencepiece_model
from tasks.formats.gguf.spelling import caveats_of_marks, caveats_of_opening, caveats_of_space, spell
from tasks.formats.gguf.vocabulary import check_vocabulary, name_model
from tasks.host.tools import run_tool
from tasks.settings import REPOSITORY

DRIVER = Path(__file__).with_name("hf_to_gguf.py")
OTHER_TOKENIZER = ", or give the model a tokenizer that llama.cpp supports"


def make_f16(context: TaskContext) -> dict[str, Any]:
    """Convert the source to `<Name>-F16.gguf` and return its facts.

    The facts are those of the file's header, `pre_tokenizer`, `verdict_caveats`, and `context_limit` (see
    missing_window.py).

    Raises Unsupported for an architecture, tokenizer, pre-tokenizer, rotary positions or values of other fields that
    llama.cpp does not support, and for weights that float16 cannot represent. Raises ToolFailed, with the tool's own
    words, where the converter fails or llama.cpp cannot load what it made. Raises Corrupt if config.json is missing or
    is not JSON, or if tokenizer.json does not have the fields that the tokenizers library writes.
    """
    name = model_name(context)
    model = open_view(context.materialize("snapshot"), context.materialize("analysis"), context.scratch / name)
    # The converter's folder gets further files, which only spell the view.
    normalization = normalization_caveats(model)
    spell(model)
    name_model(model)
    add_sentencepiece_model(model)
    check_vocabulary(model)
    architecture = (_read_json(model / "config.json").get("architectures") or ["(none named)"])[0]
    if architecture not in read_architectures(llama_cpp().tree):
        raise Unsupported(
            f"config.json: llama.cpp's converter does not know the architecture {architecture}; "
            "leave the gguf targets out of the recipe for this model."
        )
    output = context.output / f"{name}-F16.gguf"
    context.progress("converting to F16")
    decided = _run_converter(model, output, context)
    header = read_header(output)
    check_rotary(header, decided.pop("rotary"), decided.pop("context_length", None))
    broken = first_nonfinite(header)
    if broken:
        raise Unsupported(
            f"Tensor {broken.name!r} contains NaN, infinity or numbers beyond 65504, which float16 cannot represent; "
            "leave the gguf targets out of the recipe for this model."
        )
    loaded = check_loads(output, context)
    limit = limit_context(output, decided.pop("windows"), loaded.window, context)
    tokenizer = Snapshot(model).json("tokenizer.json") or {}
    caveats = (
        *decided.pop("caveats"),
        *caveats_of_marks(tokenizer),
        *caveats_of_space(tokenizer),
        *caveats_of_opening(decided.pop("opening")),
        *caveats_of_flags(decided.pop("lost_flags", [])),
        # The last one that explains a metric is its cause in the verdict.
        *normalization,
        *((limit.caveat,) if limit else ()),
    )
    renamed = {int(token): text for token, text in decided.pop("renamed", {}).items()}
    further = [
        *caveats_of_texts(renamed),
        *caveats_of_ends(end_ids(model), loaded.ends),
        *notes_of_settings(decided),
    ]
    facts = {**facts_of(read_header(output)), **decided, **as_facts(caveats)}
    facts |= {"caveats": further} if further else {}
    return facts | ({"context_limit": limit.tokens} if limit else {})


def model_name(context: TaskContext) -> str:
    """Return the model's name for file names: the last part of the source repository's name, else \"model\".

    The repository's name is a fact that the key covers.
    """
    repository = context.inputs["snapshot"].facts.get("repository")
    return repository.rsplit("/", 1)[-1] if isinstance(repository, str) and repository else "model"


def _run_converter(model: Path, output: Path, context: TaskContext) -> dict[str, Any]:
    """Run the converter. Return what it decided.

    windows: the sizes of the model's attention windows, see missing_window.py. rotary, context_length: see rotary.py.
    renamed: the source's texts of tokens that have another text in the file, by id, if there are some.
    pre_tokenizer: its name and how it was found, if the model has one. caveats: sentences on it.
    opening: how many tokens the tokenizer puts before a text.
    lost_flags: the texts of added tokens with flags that llama.cpp ignores, if there are some (see added_flags.py).
    chats_open: whether a chat begins with the token that opens a text, if the model has a chat template.
    chats_think, chats_keep_thoughts, chats_unlike: see chat_settings.py.
    """
    candidate = find_candidate(model)
    decision = context.scratch / "decision.json"
    tree = llama_cpp().tree
    try:
        run_tool(
            [
                sys.executable,
                DRIVER,
                "--model",
                model,
                "--output",
                output,
                "--decision",
                decision,
                *_options(candidate),
                *_head(Snapshot(context.materialize("snapshot"))),
            ],
            cwd=context.scratch,
            log=context.scratch / "convert.log",
            env={
                "PYTHONPATH": f"{tree / 'gguf-py'}:{tree}:{REPOSITORY}",
                # Without this, the script's folder is searched first, and its inspect.py would hide Python's module.
                "PYTHONSAFEPATH": "1",
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": str(context.threads),
            },
            subject=model.name,
            remedy="llama.cpp's converter cannot convert this model, so leave the gguf targets out of the recipe",
        )
    except ToolFailed as error:
        refused = json.loads(decision.read_bytes()).get("refused") if decision.exists() else None
        if refused is None:
            raise
        remedy = " for this model" if refused.startswith("config.json") else OTHER_TOKENIZER
        raise Unsupported(f"{refused}; leave the gguf targets out of the recipe{remedy}.") from error
    decided: dict[str, Any] = json.loads(decision.read_bytes())
    found = decided.get("pre_tokenizer")
    return {**decided, "caveats": caveats_of_hash(candidate, found["name"]) if candidate and found else []}


def _options(candidate: Candidate | None) -> list[str]:
    if candidate is None:
        return []
    if candidate.name is None:
        return ["--byte-level", "--no-candidate", candidate.reason]
    return ["--byte-level", "--candidate", candidate.name]


def _head(source: Snapshot) -> list[str]:
    head = find_lone_head(source.tensors, source.config.tied)
    return ["--head", head] if head else []


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Corrupt(f"{path.name} is missing or is not JSON ({error}); fix it in the source repository.") from error
    if not isinstance(content, dict):
        raise Corrupt(f"{path.name} must be a JSON object; fix it in the source repository.")
    return content

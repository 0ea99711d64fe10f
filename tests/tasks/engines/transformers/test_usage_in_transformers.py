"""The report's line gives the text that was measured, whatever generation_config.json says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.runtime("torch")

transformers = pytest.importorskip("transformers")

from tokenizers.processors import TemplateProcessing

from tasks.engines.text_model import TextModel, greedy
from tasks.engines.transformers.engine import ENGINE
from tasks.engines.transformers.serving import open_engine
from tasks.engines.transformers.usage import NEUTRAL
from tasks.formats.base import ConvertParameters
from tasks.formats.registry import parse_target
from tasks.formats.safetensors.convert import convert
from tasks.formats.safetensors.inspect import inspect
from tests.fixtures import tiny_checkpoint as tiny
from tests.fixtures.context import make_context
from tests.fixtures.source import source_inputs

PROMPT = "Once upon a time"
TOKENS = 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = tiny.tiny_llama(initializer_range=0.05)  # its text repeats itself
    return tiny.write_checkpoint(tmp_path / "artifact", config, dtype="bfloat16")


def printed(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a line as a person would, and return what it prints."""
    capsys.readouterr()
    exec(compile(line, "line", "exec"), {})
    return capsys.readouterr().out.removesuffix("\n")


def line_of(folder: Path, facts: Mapping[str, Any]) -> str:
    (usage,) = ENGINE.usage(str(folder), ["model.safetensors"], facts, PROMPT, None)
    return usage.lines


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
        {"repetition_penalty": 1.3, "min_new_tokens": 60, "num_beams": 2, "suppress_tokens": [2, 3]},
    ],
    ids=lambda fields: "-".join(fields) or "none",
)
def test_the_line_gives_what_serving_gives(
    folder: Path, fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "generation_config.json"
    engine = open_engine(folder, 1)
    ids = engine.tokenize(PROMPT, add_special_tokens=True)
    measured = engine.detokenize(ids + list(greedy(engine, ids, TOKENS, engine.ends)))
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    assert printed(line_of(folder, inspect(folder)), capsys) == measured
    assert (printed(line_of(folder, {}), capsys) == measured) is not bool(fields)


def test_fields_of_config_json_count_where_there_is_no_other_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = printed(line_of(folder, {}), capsys)
    (folder / "generation_config.json").unlink()
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "repetition_penalty": 1.3}))
    assert printed(line_of(folder, {}), capsys) != wanted
    assert printed(line_of(folder, inspect(folder)), capsys) == wanted


@pytest.mark.parametrize("opens", [True, False])
def test_the_line_does_not_close_a_prompt(tmp_path: Path, opens: bool, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny.tiny_llama(initializer_range=0.05)
    source = tiny.write_checkpoint(tmp_path / "source", config, dtype="bfloat16")
    path = source / "tokenizer.json"
    content = json.loads(path.read_text())
    around = TemplateProcessing(single="<s> $A </s>" if opens else "$A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    path.write_text(json.dumps({**content, "post_processor": json.loads(around.__getstate__())}))
    context = make_context(tmp_path / "made", source_inputs(source, tmp_path / "analysis"))
    facts = convert(ConvertParameters(target=parse_target("safetensors-bf16")), context)
    served = TextModel(open_engine(context.output, 1)).complete(PROMPT, max_tokens=TOKENS)
    assert printed(line_of(context.output, facts), capsys) == PROMPT + served
    assert printed(line_of(context.output, {}), capsys) != PROMPT + served


def test_the_list_has_only_fields_that_transformers_knows() -> None:
    known = vars(transformers.GenerationConfig())
    assert set(NEUTRAL) <= set(known)

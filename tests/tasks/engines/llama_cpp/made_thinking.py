"""Makes a GGUF artifact for each template of chats_that_think.py.

A program for the torch runtime: made_thinking.py FOLDER. Writes NAME/output/ and NAME/source.json for each template,
the latter with the artifact's facts, and the text and the ids of each chat by the source.
"""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

from tasks.formats.base import ConvertParameters
from tasks.formats.gguf.chat_settings import CHATS
from tasks.formats.gguf.convert import convert
from tasks.formats.registry import parse_target
from tests.fixtures.context import make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_checkpoint import tiny_llama, write_checkpoint
from tests.tasks.engines.llama_cpp.chats_that_think import TEMPLATES


def main(folder: Path) -> None:
    """Write everything."""
    for name, template in TEMPLATES.items():
        snapshot = write_checkpoint(
            folder / name / "snapshot",
            tiny_llama(),
            dtype="bfloat16",
            pre_tokenizer="qwen2",
            opens="bos_token" in template,
        )
        (snapshot / "chat_template.jinja").write_text(template)
        tokenizer = AutoTokenizer.from_pretrained(snapshot)
        context = make_context(
            folder / name,
            source_inputs(snapshot, folder / name / "source"),
            {"snapshot": {"repository": f"acme/{name}"}},
        )
        facts = convert(ConvertParameters(target=parse_target("gguf-f16")), context)
        texts = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in CHATS]
        ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
        source = {"facts": facts, "chats": CHATS, "texts": texts, "ids": ids}
        (folder / name / "source.json").write_text(json.dumps(source))


if __name__ == "__main__":
    with shortcuts():
        main(Path(sys.argv[1]))

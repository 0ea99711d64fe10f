"""Makes a GGUF artifact of a source with three ends. Its texts have BOS and EOS around them, and its chats have none.

A program for the torch runtime: made_served.py FOLDER. Writes output/, and source.json with the artifact's facts and
what the source reads for a prompt and a chat. Two of the ends have texts that llama.cpp does not know. Two tokens have
texts that llama.cpp takes for ends, and the source does not: FIM, which is special, and MISTAKEN, which is ordinary.
"""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

from tasks.formats.base import ConvertParameters
from tasks.formats.gguf.convert import convert
from tasks.formats.registry import parse_target
from tests.fixtures.context import make_context
from tests.fixtures.forked import shortcuts
from tests.fixtures.source import source_inputs
from tests.fixtures.tiny_checkpoint import VOCABULARY, tiny_llama, write_checkpoint

ENDS = [1, 300, 301]
MISTAKEN, MISTAKEN_TEXT = VOCABULARY, "<eos>"
FIM_TEXT = "<|fim_pad|>"
PROMPT = "She counted 12 ships"
QUESTION = [{"role": "user", "content": "Where is the lantern?"}]


def main(folder: Path) -> None:
    """Write everything."""
    snapshot = write_checkpoint(
        folder / "snapshot", tiny_llama(vocab_size=VOCABULARY + 8), dtype="bfloat16", pre_tokenizer="qwen2", opens=True
    )
    written = json.loads((snapshot / "tokenizer.json").read_text())
    written["model"]["vocab"][MISTAKEN_TEXT] = MISTAKEN
    written["post_processor"]["single"].append({"SpecialToken": {"id": "</s>", "type_id": 0}})
    written["post_processor"]["special_tokens"]["</s>"] = {"id": "</s>", "ids": [1], "tokens": ["</s>"]}
    (snapshot / "tokenizer.json").write_text(json.dumps(written))
    tokenizer = AutoTokenizer.from_pretrained(snapshot)
    tokenizer.add_tokens([FIM_TEXT], special_tokens=True)
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ bos_token }}", "")
    tokenizer.save_pretrained(snapshot)
    (snapshot / "generation_config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": ENDS}))
    context = make_context(
        folder, source_inputs(snapshot, folder / "source"), {"snapshot": {"repository": "acme/served"}}
    )
    facts = convert(ConvertParameters(target=parse_target("gguf-f16")), context)
    chat = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    source = {
        "facts": facts,
        # A text that is to be continued is opened, and not closed.
        "prompt_ids": tokenizer(PROMPT).input_ids[:-1],
        "mistaken_ids": tokenizer(MISTAKEN_TEXT, add_special_tokens=False).input_ids,
        "chat_ids": tokenizer(chat, add_special_tokens=False).input_ids,
    }
    (folder / "source.json").write_text(json.dumps(source))


if __name__ == "__main__":
    with shortcuts():
        main(Path(sys.argv[1]))

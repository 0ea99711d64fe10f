"""Greedy tokens and a rendered chat by transformers alone: `direct_transformers.py FOLDER REQUEST`.

REQUEST is JSON: prompts, texts; messages, a chat. Prints as JSON: `ids` per prompt, at most 64; `chat`, the rendered
text; `chat_ids`; `answer_ids`.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, request = sys.argv[1], json.loads(sys.argv[2])
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)


def greedy(ids: list[int]) -> list[int]:
    """Return what the model says after `ids`, without the token that ends it."""
    given = torch.tensor([ids])
    whole = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=64, do_sample=False)
    said: list[int] = whole[0, len(ids) :].tolist()
    ends = model.generation_config.eos_token_id
    return said[:-1] if said and said[-1] in (ends if isinstance(ends, list) else [ends]) else said


chat = tokenizer.apply_chat_template(request["messages"], tokenize=False, add_generation_prompt=True)
chat_ids = tokenizer.apply_chat_template(request["messages"], add_generation_prompt=True)["input_ids"]
found = {
    "ids": [greedy(tokenizer(prompt)["input_ids"]) for prompt in request["prompts"]],
    "chat": chat,
    "chat_ids": chat_ids,
    "answer_ids": greedy(chat_ids),
}
print(json.dumps(found))

"""Prints what an artifact's runner says, as JSON of `prompts.Said`: `measure.py TARGET FOLDER REQUEST`.

Run by the interpreter of the engine's runtime, in the repository. REQUEST is JSON: prompts; messages, a chat;
first_ids, what the source's tokenizer puts before a text; stop_ids.
"""

import json
import os
import sys
from pathlib import Path

from tasks.formats.registry import parse_target
from tasks.proving.opening import open_artifact

request = json.loads(sys.argv[3])
runner = open_artifact(parse_target(sys.argv[1]), Path(sys.argv[2]), len(os.sched_getaffinity(0)))
chat = runner.render_chat(request["messages"], True)
assert chat
prompts = [[*request["first_ids"], *runner.tokenize(prompt)] for prompt in request["prompts"]]
*said, answer = [runner.generate(ids, 64, request["stop_ids"]).token_ids for ids in (*prompts, runner.tokenize(chat))]
found = {
    "ids": said,
    "texts": [runner.detokenize(ids) for ids in said],
    "short": [runner.detokenize(ids[:16]) for ids in said],
    "chat": chat,
    "chat_ids": runner.tokenize(chat),
    "answer": runner.detokenize(answer),
    "answer_ids": answer,
}
print(json.dumps(found))

"""Prints the greedy texts of an artifact's runner, as JSON: `measure.py FORMAT FOLDER REQUEST`.

Run by the interpreter of the format's runtime, in the repository. REQUEST is JSON: prompts; first_ids, what the
source's tokenizer puts before a text; stop_ids; max_tokens.
"""

import json
import os
import sys
from pathlib import Path

from tasks.evaluation.opening import open_artifact

request = json.loads(sys.argv[3])
runner = open_artifact(sys.argv[1], Path(sys.argv[2]), len(os.sched_getaffinity(0)))
texts = []
for prompt in request["prompts"]:
    ids = [*request["first_ids"], *runner.tokenize(prompt)]
    texts.append(runner.detokenize(runner.generate(ids, request["max_tokens"], request["stop_ids"]).token_ids))
print(json.dumps(texts))

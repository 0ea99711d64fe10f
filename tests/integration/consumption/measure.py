"""Prints the greedy texts of an artifact's runner, as JSON: `measure.py FORMAT FOLDER REQUEST`.

Run by the interpreter of the format's runtime, in the repository. REQUEST is JSON: prompts; first_ids, what the
source's tokenizer puts before a text; stop_ids; limits, the most tokens, for each of which there is a list of texts.
"""

import json
import os
import sys
from pathlib import Path

from tasks.evaluation.opening import open_artifact

request = json.loads(sys.argv[3])
runner = open_artifact(sys.argv[1], Path(sys.argv[2]), len(os.sched_getaffinity(0)))
prompts = [[*request["first_ids"], *runner.tokenize(prompt)] for prompt in request["prompts"]]
said = [[runner.generate(ids, limit, request["stop_ids"]) for ids in prompts] for limit in request["limits"]]
print(json.dumps([[runner.detokenize(generation.token_ids) for generation in texts] for texts in said]))

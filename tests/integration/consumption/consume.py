"""Uses a registered model as a serving team does and prints what came, as JSON: `consume.py ADDRESS PROMPTS`.

Run by the interpreter of an environment that holds what the model's requirements name; nothing of ours is on its path.
"""

import importlib.util
import json
import sys

import mlflow
import pandas

address, prompts = sys.argv[1], json.loads(sys.argv[2])
model = mlflow.pyfunc.load_model(address)
frame = pandas.DataFrame({"prompt": prompts}, index=range(7, 7 + len(prompts)))
said = model.predict(frame)
records = [{"prompt": prompt} for prompt in prompts]
found = {
    "texts": list(said["text"]),
    "rows": list(said.index),
    "short": list(model.predict(records, params={"max_tokens": 16})["text"]),
    "one": model.predict({"prompt": prompts[0]})["text"][0],
    "example": model.input_example.to_dict("list"),
    "example_text": model.predict(model.input_example)["text"][0],
    "inputs": model.metadata.signature.inputs.to_dict(),
    "outputs": model.metadata.signature.outputs.to_dict(),
    "params": {spec.name: spec.default for spec in model.metadata.signature.params.params},
    "has_torch": importlib.util.find_spec("torch") is not None,
    "ours": [name for name in sys.modules if name.split(".")[0] in ("tasks", "operators", "deploy")],
}
print(json.dumps(found))

"""Uses a registered model as a serving team does and prints what came, as JSON: `consume.py ADDRESS REQUEST`.

Run by the interpreter of an environment that holds what the model's requirements name; nothing of ours is on its path.
REQUEST is JSON: prompts; messages, a chat; stop, a string in the middle of what the model says after the first prompt.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas

address, request = sys.argv[1], json.loads(sys.argv[2])
prompts, stop = request["prompts"], {"stop": [request["stop"]]}
model = mlflow.pyfunc.load_model(address)


def refused(data: Any, params: dict[str, Any] | None = None) -> str:
    """Return what is said of an input that cannot be answered."""
    try:
        return f"answered: {model.predict(data, params=params)}"
    except mlflow.exceptions.MlflowException as error:
        return str(error)


frame = pandas.DataFrame({"prompt": prompts}, index=range(7, 7 + len(prompts)))
said = model.predict(frame)
found = {
    "texts": list(said["text"]),
    "rows": list(said.index),
    "short": list(model.predict([{"prompt": prompt} for prompt in prompts], params={"max_tokens": 16})["text"]),
    "one": model.predict({"prompt": prompts[0]})["text"][0],
    "stopped": model.predict({"prompt": prompts[0]}, params=stop)["text"][0],
    "answer": model.predict([{"messages": request["messages"]}])["text"][0],
    "streams": [list(model.predict_stream({"prompt": prompt})) for prompt in prompts],
    "stopped_stream": list(model.predict_stream({"prompt": prompts[0]}, params=stop)),
    "answer_stream": list(model.predict_stream({"messages": request["messages"]})),
    "example": model.input_example.to_dict("list"),
    "example_text": model.predict(model.input_example)["text"][0],
    "inputs": [column["name"] for column in model.metadata.signature.inputs.to_dict()],
    "outputs": model.metadata.signature.outputs.to_dict(),
    "params": {spec.name: spec.default for spec in model.metadata.signature.params.params},
    "refused": {
        "long": refused([{"prompt": "lantern " * 2000}]),
        "column": refused([{"promt": "Mira"}]),
        "number": refused(pandas.DataFrame({"prompt": [3]})),
        "roles": refused([{"messages": [{"role": "user"}]}]),
        "limit": refused([{"prompt": "Mira"}], {"max_tokens": "many"}),
    },
    "requirements": Path(mlflow.pyfunc.get_model_dependencies(address)).read_text(),
    "has_torch": importlib.util.find_spec("torch") is not None,
    "ours": [name for name in sys.modules if name.split(".")[0] in ("tasks", "operators", "deploy")],
}
print(json.dumps(found))

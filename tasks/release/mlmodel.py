"""Makes an artifact an MLflow model, where it lies: `MLmodel` and its companions beside the files an engine loads.

The documented fields are written by hand, so that no runtime needs MLflow, and no pickle is involved: the flavour is
`python_function` with a loader module, whose source is copied into the artifact's `code/`. No time stamp and no random
identifier is written; the same conversion gives the same bytes. Format: https://mlflow.org/docs/latest/ml/model/.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

MLFLOW_VERSION = "3.17.2"
PYTHON_VERSION = "3.11"
# What `mlflow.pyfunc.load_model("models:/NAME@champion")` itself needs: the client, data frames, the S3 transport.
CLIENT_REQUIREMENTS = (f"mlflow-skinny=={MLFLOW_VERSION}", "pandas>=2.2", "boto3>=1.36")
EXAMPLE_PROMPT = "Once upon a time"
DEFAULT_PARAMETERS: Mapping[str, Any] = {"max_tokens": 64, "stop": []}


def write_mlmodel(
    output: Path,
    *,
    format: str,
    requirements: Sequence[str],
    loader: Path,
    parameters: Mapping[str, Any],
) -> None:
    """Write `MLmodel`, the environment files, an input example and `code/hallmark_<format>_serving.py` into `output`.

    requirements: pip requirements of the engine, pinned (`llama-cpp-python==0.3.36`); MLflow's client is added.
    loader: a Python file that imports neither this repository nor MLflow, and defines `_load_pyfunc(path)`, given the
        artifact's folder, returning an object with `predict(model_input, params=None)`. `model_input` is a pandas frame
        with the string column `prompt`; what is returned has a string column `text`, row for row.
    parameters: defaults of further parameters of `predict`, or other defaults for `max_tokens` (an integer) and `stop`
        (a list of strings, empty for none), which every model has.

    Raises TypeError for a default that is no bool, int, float, str or list of str.
    """
    module = f"hallmark_{re.sub(r'[^a-z0-9]', '_', format.lower())}_serving"
    code = output / "code"
    code.mkdir(parents=True)
    shutil.copyfile(loader, code / f"{module}.py")
    pip = _merged(CLIENT_REQUIREMENTS, requirements)
    defaults = {**DEFAULT_PARAMETERS, **parameters}
    _write_yaml(output / "MLmodel", _mlmodel(format, module, defaults))
    _write_yaml(
        output / "conda.yaml",
        {
            "channels": ["conda-forge"],
            "dependencies": [f"python={PYTHON_VERSION}", "pip", {"pip": pip}],
            "name": "mlflow-env",
        },
    )
    _write_yaml(
        output / "python_env.yaml",
        {
            "python": PYTHON_VERSION,
            "build_dependencies": ["pip", "setuptools", "wheel"],
            "dependencies": ["-r requirements.txt"],
        },
    )
    (output / "requirements.txt").write_text("".join(f"{line}\n" for line in pip), encoding="utf-8")
    example = {"columns": ["prompt"], "data": [[EXAMPLE_PROMPT]]}
    _write_json(output / "input_example.json", example)
    _write_json(output / "serving_input_example.json", {"dataframe_split": example})


def _mlmodel(format: str, module: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "flavors": {
            "python_function": {
                "code": "code",
                "data": ".",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": module,
                "python_version": PYTHON_VERSION,
                "streamable": False,
            }
        },
        "metadata": {"format": format},
        "mlflow_version": MLFLOW_VERSION,
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "pandas_orient": "split",
            "serving_input_path": "serving_input_example.json",
            "type": "dataframe",
        },
        "signature": {
            "inputs": json.dumps([{"type": "string", "name": "prompt", "required": True}]),
            "outputs": json.dumps([{"type": "string", "name": "text", "required": True}]),
            "params": json.dumps([_parameter(name, default) for name, default in defaults.items()]),
        },
    }


def _parameter(name: str, default: Any) -> dict[str, Any]:
    """Return MLflow's description of one parameter of `predict`."""
    if isinstance(default, list) and all(isinstance(item, str) for item in default):
        return {"name": name, "default": default, "shape": [-1], "type": "string"}
    # bool before int, of which it is a subclass
    for kind, word in ((bool, "boolean"), (int, "long"), (float, "double"), (str, "string")):
        if isinstance(default, kind):
            return {"name": name, "default": default, "shape": None, "type": word}
    raise TypeError(f"the default of parameter {name!r} is {default!r}; it must be a bool, number, string or strings")


def _merged(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Join requirements; of two on one distribution the later counts, for the engine's pins are narrower."""
    chosen: dict[str, str] = {}
    for line in (*first, *second):
        distribution = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("_", "-")
        chosen[distribution] = line
    return list(chosen.values())


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, default_flow_style=False), encoding="utf-8")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")

"""Makes an artifact an MLflow model: writes `MLmodel` and its companions beside the files that an engine loads.

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

from tasks.engines import text_model

MLFLOW_VERSION = "3.17.2"
PYTHON_VERSION = "3.11"
# What `mlflow.pyfunc.load_model("models:/NAME@champion")` itself needs: the client (in it, the server), data frames,
# the S3 transport, and what renders chat templates.
CLIENT_REQUIREMENTS = (f"mlflow-skinny=={MLFLOW_VERSION}", "pandas>=2.2", "boto3>=1.36", "jinja2>=3.1")
EXAMPLE_PROMPT, EXAMPLE_QUESTION = "Once upon a time", "Where is the lantern?"
PARAMETERS = (
    {"name": "max_tokens", "type": "long", "default": text_model.MAX_TOKENS, "shape": None},
    {"name": "stop", "type": "string", "default": [], "shape": [-1]},
)
MESSAGE = {name: {"type": "string", "required": True} for name in ("role", "content")}
INPUTS = (
    {"name": "prompt", "type": "string", "required": False},
    {"name": "messages", "type": "array", "items": {"type": "object", "properties": MESSAGE}, "required": False},
)


def write_mlmodel(
    output: Path,
    *,
    format: str,
    requirements: Sequence[str],
    engine: Path,
) -> None:
    """Write `MLmodel`, the environment files, an input example and the modules in `code/` into `output`.

    requirements: pip requirements of the engine, pinned (`llama-cpp-python==0.3.36`); MLflow's client is added.
    engine: a Python file that imports nothing of this repository (see tasks.engines.base.Engine.serving).
    """
    name = f"hallmark_{re.sub(r'[^a-z0-9]', '_', format.lower())}"
    code = output / "code"
    code.mkdir(parents=True)
    shutil.copyfile(text_model.__file__, code / f"{name}_serving.py")
    shutil.copyfile(engine, code / f"{name}_engine.py")
    pip = _merged(CLIENT_REQUIREMENTS, requirements)
    _write_yaml(output / "MLmodel", _mlmodel(format, f"{name}_serving"))
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


def _mlmodel(format: str, module: str) -> dict[str, Any]:
    return {
        "flavors": {
            "python_function": {
                "code": "code",
                "data": ".",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": module,
                "python_version": PYTHON_VERSION,
                "streamable": True,
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
            "inputs": json.dumps(INPUTS),
            "outputs": json.dumps([{"type": "string", "name": "text", "required": True}]),
            "params": json.dumps(PARAMETERS),
        },
    }


def _merged(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Join requirements. Of two for one distribution the later counts, because the engine's pins are narrower."""
    chosen: dict[str, str] = {}
    for line in (*first, *second):
        distribution = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("_", "-")
        chosen[distribution] = line
    return list(chosen.values())


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, default_flow_style=False), encoding="utf-8")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")

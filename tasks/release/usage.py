"""The commands with which a person uses a released target, for the report."""

from typing import Literal

from tasks.engines.base import Usage
from tasks.engines.mlmodel import EXAMPLE_PROMPT, EXAMPLE_QUESTION, MLFLOW_VERSION
from tasks.formats.registry import load_format
from tasks.manifest import Manifest
from tasks.release.record import ReleasedTarget

Context = Literal["compared", "source"]
"""The context that the commands state: as far as the artifact was compared, or all that the source's files say."""

CHECK = """\
import hashlib, json
from pathlib import Path

manifest = json.loads(Path("MANIFEST").read_bytes())
for entry in manifest["files"]:
    with Path("FOLDER", entry["path"]).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
            raise SystemExit(f"{entry['path']} is not what was released")
print(len(manifest["files"]), "files are what was released")"""


def usages(target: ReleasedTarget, artifact: Manifest, manifest_uri: str, context: Context = "compared") -> list[Usage]:
    """Return the ways to use a registered target, the registry's first; empty for one that is not registered.

    manifest_uri: where MLflow's client finds the artifact's manifest.
    context: the recipe's choice; with "compared", no line serves longer texts than were compared with the source.
    """
    if target.registered_name is None:
        return []
    address = f"models:/{target.registered_name}@champion"
    folder, manifest = target.target, manifest_uri.rpartition("/")[2]
    compared = target.metrics.get("context_compared")
    tokens = int(compared.value) if compared and context == "compared" else None
    files = [entry.path for entry in artifact.files]
    # The parity of chat templates is measured only if the source has a template.
    chats = "chat_template_parity" in target.metrics
    return [
        Usage("Install what it needs, in a fresh environment", _environment(address)),
        Usage("Python, from the registry", _registry(address)),
        Usage("Python, as a stream", _stream(address)),
        *([Usage("Python, a chat with the model's own template", _chat(address))] if chats else []),
        Usage("HTTP, from the registry", _http(address)),
        Usage(
            "Download the files of this version, and the manifest with their digests",
            _download(f"models:/{target.registered_name}/{target.version}", folder)
            + f"\n{_download(manifest_uri, '.')}",
        ),
        Usage(
            "Check the files with Python's standard library",
            CHECK.replace("MANIFEST", manifest).replace("FOLDER", folder),
        ),
        *(
            usage
            for engine in load_format(target.format).engines
            for usage in engine.usage(folder, files, artifact.facts, EXAMPLE_PROMPT, tokens)
        ),
    ]


def _environment(address: str) -> str:
    return (
        f"pip install mlflow-skinny=={MLFLOW_VERSION} boto3\n"
        f"{_download(f'{address}/requirements.txt', '.')}\n"
        "pip install -r requirements.txt"
    )


def _download(uri: str, folder: str) -> str:
    return f'mlflow artifacts download --artifact-uri "{uri}" --dst-path {folder}'


def _registry(address: str) -> str:
    return (
        "import mlflow.pyfunc, pandas\n\n"
        f'model = mlflow.pyfunc.load_model("{address}")\n'
        f'prompts = pandas.DataFrame({{"prompt": ["{EXAMPLE_PROMPT}"]}})\n'
        'print(model.predict(prompts, params={"max_tokens": 64})["text"][0])'
    )


def _stream(address: str) -> str:
    return (
        "import mlflow.pyfunc\n\n"
        f'model = mlflow.pyfunc.load_model("{address}")\n'
        f'for piece in model.predict_stream({{"prompt": "{EXAMPLE_PROMPT}"}}, params={{"max_tokens": 64}}):\n'
        '    print(piece, end="", flush=True)'
    )


def _chat(address: str) -> str:
    return (
        "import mlflow.pyfunc\n\n"
        f'model = mlflow.pyfunc.load_model("{address}")\n'
        f'messages = [{{"role": "user", "content": "{EXAMPLE_QUESTION}"}}]\n'
        'print(model.predict({"messages": messages})["text"][0])'
    )


def _http(address: str) -> str:
    return (
        f'mlflow models serve --model-uri "{address}" --env-manager local --port 5001\n'
        "curl -s 127.0.0.1:5001/invocations -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"dataframe_records": [{{"prompt": "{EXAMPLE_PROMPT}"}}], "params": {{"max_tokens": 64}}}}\''
    )

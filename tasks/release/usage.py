"""How to use a released target: lines that hold for its files as they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.engines.mlmodel import EXAMPLE_PROMPT, MLFLOW_VERSION
from tasks.manifest import Manifest
from tasks.release.record import ReleasedTarget

QUESTION = "Where is the lantern?"

CHECK = """\
import hashlib, json
from pathlib import Path

manifest = json.loads(Path("MANIFEST").read_bytes())
for entry in manifest["files"]:
    with Path("FOLDER", entry["path"]).open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
            raise SystemExit(f"{entry['path']} is not what was released")
print(len(manifest["files"]), "files are what was released")"""


@dataclass(frozen=True)
class Usage:
    """One way: what it is, and the lines to run."""

    title: str
    lines: str


def usages(target: ReleasedTarget, artifact: Manifest, manifest_uri: str) -> list[Usage]:
    """Return the ways to use a registered target, the registry's first; empty for one that is not registered.

    manifest_uri: where MLflow's client finds the artifact's manifest.
    """
    if target.registered_name is None:
        return []
    address = f"models:/{target.registered_name}@champion"
    folder, manifest = target.target, manifest_uri.rpartition("/")[2]
    # Only a source that has a chat template is compared with.
    chats = "chat_template_parity" in target.metrics
    return [
        Usage("What it takes, in a fresh environment", _environment(address)),
        Usage("Python, from the registry", _registry(address)),
        Usage("Python, piece by piece", _stream(address)),
        *([Usage("Python, a chat by the model's own template", _chat(address))] if chats else []),
        Usage("HTTP, from the registry", _http(address)),
        Usage(
            "The files of this version, and the manifest with their digests",
            _download(f"models:/{target.registered_name}/{target.version}", folder)
            + f"\n{_download(manifest_uri, '.')}",
        ),
        Usage(
            "The files, checked by Python's standard library alone",
            CHECK.replace("MANIFEST", manifest).replace("FOLDER", folder),
        ),
        *_engines(target.format, folder, artifact),
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
        f'messages = [{{"role": "user", "content": "{QUESTION}"}}]\n'
        'print(model.predict({"messages": messages})["text"][0])'
    )


def _http(address: str) -> str:
    return (
        f'mlflow models serve --model-uri "{address}" --env-manager local --port 5001\n'
        "curl -s 127.0.0.1:5001/invocations -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"dataframe_records": [{{"prompt": "{EXAMPLE_PROMPT}"}}], "params": {{"max_tokens": 64}}}}\''
    )


def _engines(format: str, folder: str, artifact: Manifest) -> list[Usage]:
    known: dict[str, Callable[[str, Sequence[str]], list[Usage]]] = {
        "gguf": _gguf,
        "onnx": _onnx,
        "safetensors": _safetensors,
    }
    return known[format](folder, [entry.path for entry in artifact.files]) if format in known else []


def _gguf(folder: str, files: Sequence[str]) -> list[Usage]:
    # llama.cpp finds the other shards beside the first.
    model = next(file for file in files if file.endswith(".gguf"))
    return [
        Usage(
            "llama.cpp, as an HTTP server",
            f"llama-server --model {folder}/{model} --port 8080\n"
            "curl -s 127.0.0.1:8080/completion -H 'Content-Type: application/json' \\\n"
            f'  -d \'{{"prompt": "{EXAMPLE_PROMPT}", "n_predict": 64, "temperature": 0}}\'',
        ),
        Usage(
            "llama.cpp, from Python",
            # As it was measured and as llama-server runs it; the bindings' default rounds otherwise.
            "from llama_cpp import Llama\n\n"
            f'model = Llama("{folder}/{model}", flash_attn=True)\n'
            f'print(model("{EXAMPLE_PROMPT}", max_tokens=64, temperature=0)["choices"][0]["text"])',
        ),
    ]


def _onnx(folder: str, files: Sequence[str]) -> list[Usage]:
    return [
        Usage(
            "onnxruntime, from Python (the loop over the KV cache comes with the files)",
            "import sys\n\n"
            f'sys.path.insert(0, "{folder}/code")\n'
            "from hallmark_onnx_serving import load\n\n"
            f'print(load("{folder}").complete("{EXAMPLE_PROMPT}", max_tokens=64))',
        )
    ]


def _safetensors(folder: str, files: Sequence[str]) -> list[Usage]:
    return [
        Usage(
            "transformers, from Python",
            "from transformers import pipeline\n\n"
            f'generate = pipeline("text-generation", "{folder}")\n'
            f'print(generate("{EXAMPLE_PROMPT}", max_new_tokens=64, do_sample=False)[0]["generated_text"])',
        )
    ]

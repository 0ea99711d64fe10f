"""What `write_mlmodel` wrote is read by MLflow itself: described, validated, loaded, called."""

from pathlib import Path

import pytest

mlflow = pytest.importorskip("mlflow.pyfunc")
pandas = pytest.importorskip("pandas")

from mlflow.models import Model

from tasks.release.mlmodel import MLFLOW_VERSION, write_mlmodel

pytestmark = pytest.mark.runtime("mlflow")

LOADER = """
from pathlib import Path

class Parrot:
    def __init__(self, word):
        self.word = word

    def predict(self, model_input, params=None):
        params = params or {}
        texts = [(prompt + self.word)[: params["max_tokens"]] for prompt in model_input["prompt"]]
        for stop in params["stop"]:
            texts = [text.split(stop)[0] for text in texts]
        return type(model_input)({"text": texts})

def _load_pyfunc(path):
    return Parrot((Path(path) / "word.txt").read_text())
"""


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    output, loader = tmp_path / "artifact", tmp_path / "serving.py"
    output.mkdir()
    loader.write_text(LOADER)
    (output / "word.txt").write_text(" said the parrot")
    write_mlmodel(output, format="toy", requirements=["numpy>=2"], loader=loader, parameters={"greedy": True})
    return output


def test_mlflow_reads_the_description(artifact: Path) -> None:
    model = Model.load(str(artifact))
    assert model.mlflow_version == MLFLOW_VERSION == mlflow.mlflow.__version__
    assert model.metadata == {"format": "toy"}
    assert model.signature is not None
    assert model.signature.inputs.to_dict() == [{"type": "string", "name": "prompt", "required": True}]
    assert model.signature.outputs.input_names() == ["text"]
    parameters = {spec.name: (spec.dtype.name, spec.default, spec.shape) for spec in model.signature.params.params}
    assert parameters == {
        "max_tokens": ("long", 64, None),
        "stop": ("string", [], (-1,)),
        "greedy": ("boolean", True, None),
    }
    example = model.load_input_example(str(artifact))
    assert isinstance(example, pandas.DataFrame)
    assert list(example["prompt"]) == ["Once upon a time"]


def test_mlflow_loads_and_calls_it(artifact: Path) -> None:
    model = mlflow.load_model(str(artifact))
    frame = pandas.DataFrame({"prompt": ["Polly", "Jack"]})
    assert list(model.predict(frame)["text"]) == ["Polly said the parrot", "Jack said the parrot"]
    assert list(model.predict(frame, params={"max_tokens": 7})["text"]) == ["Polly s", "Jack sa"]
    assert list(model.predict(frame, params={"stop": [" the"]})["text"]) == ["Polly said", "Jack said"]
    with pytest.raises(Exception, match="max_tokens"):
        model.predict(frame, params={"max_tokens": "many"})


def test_the_same_conversion_gives_the_same_bytes_without_pickles(artifact: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    write_mlmodel(
        again, format="toy", requirements=["numpy>=2"], loader=tmp_path / "serving.py", parameters={"greedy": True}
    )
    written = {path.relative_to(again).as_posix(): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert sorted(written) == [
        "MLmodel",
        "code/hallmark_toy_serving.py",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    ]
    for name, data in written.items():
        assert (artifact / name).read_bytes() == data


def test_an_engine_may_pin_what_the_client_only_bounds(artifact: Path, tmp_path: Path) -> None:
    output = tmp_path / "pinned"
    write_mlmodel(
        output,
        format="toy",
        requirements=["pandas==2.3.3"],
        loader=tmp_path / "serving.py",
        parameters={"stop": ["\n"]},
    )
    lines = (output / "requirements.txt").read_text().splitlines()
    assert lines == ["mlflow-skinny==3.17.2", "pandas==2.3.3", "boto3>=1.36"]
    assert "- pandas==2.3.3" in (output / "conda.yaml").read_text()


def test_a_default_that_mlflow_cannot_type_is_refused(tmp_path: Path) -> None:
    loader = tmp_path / "serving.py"
    loader.write_text(LOADER)
    with pytest.raises(TypeError, match="'seed'"):
        write_mlmodel(tmp_path / "x", format="toy", requirements=[], loader=loader, parameters={"seed": None})

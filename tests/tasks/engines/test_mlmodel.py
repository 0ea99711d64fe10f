"""What `write_mlmodel` wrote is read by MLflow itself: described, validated, loaded, called."""

from pathlib import Path
from typing import Any

import pytest

mlflow = pytest.importorskip("mlflow.pyfunc")
pandas = pytest.importorskip("pandas")

from mlflow.exceptions import MlflowException
from mlflow.models import Model

from tasks.engines.mlmodel import MLFLOW_VERSION, write_mlmodel

pytestmark = pytest.mark.runtime("mlflow")

ENGINE = Path(__file__).with_name("parrot.py")
WORDS = " said the parrot"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    output = tmp_path / "artifact"
    output.mkdir()
    (output / "weights.txt").write_text(WORDS)
    write_mlmodel(output, format="toy", requirements=["numpy>=2"], engine=ENGINE)
    return output


def test_mlflow_reads_the_description(artifact: Path) -> None:
    model = Model.load(str(artifact))
    assert model.mlflow_version == MLFLOW_VERSION == mlflow.mlflow.__version__
    assert model.metadata == {"format": "toy"}
    assert model.signature is not None
    prompt, messages = model.signature.inputs.to_dict()
    assert prompt == {"type": "string", "name": "prompt", "required": False}
    assert (messages["name"], messages["type"], messages["required"]) == ("messages", "array", False)
    assert sorted(messages["items"]["properties"]) == ["content", "role"]
    assert model.signature.outputs.input_names() == ["text"]
    parameters = {spec.name: (spec.dtype.name, spec.default, spec.shape) for spec in model.signature.params.params}
    assert parameters == {"max_tokens": ("long", 64, None), "stop": ("string", [], (-1,))}
    example = model.load_input_example(str(artifact))
    assert isinstance(example, pandas.DataFrame)
    assert list(example["prompt"]) == ["Once upon a time"]


def test_mlflow_loads_and_calls_it(artifact: Path) -> None:
    model = mlflow.load_model(str(artifact))
    frame = pandas.DataFrame({"prompt": ["Polly", "Jack"]}, index=[4, 2])
    found = model.predict(frame)
    assert list(found["text"]) == [WORDS, WORDS]
    assert list(found.index) == [4, 2]
    assert list(model.predict(frame, params={"max_tokens": 7})["text"]) == [WORDS[:7]] * 2
    assert list(model.predict(frame, params={"stop": [" the"]})["text"]) == [" said"] * 2
    assert list(model.predict_stream({"prompt": "Polly"}, params={"max_tokens": 3})) == [" ", "s", "a"]


@pytest.mark.parametrize(
    ("data", "parameters", "sentence"),
    [
        ([{"prompt": "Polly"}], {"max_tokens": "many"}, "max_tokens"),
        ([{"prompt": "Polly"}], {"max_tokens": -1}, "max_tokens is -1; give 0 or more."),
        ([{"promt": "Polly"}], None, "no row with a prompt or messages; give [{"),
        (["Polly"], None, "no row with a prompt or messages; give [{"),
        ([], None, "no row with a prompt or messages; give [{"),
        ([{"prompt": None}], None, "A row needs one prompt, a string, or messages, and not both; give [{"),
        ({"prompt": ["Polly", "Jack"]}, None, "A row needs one prompt, a string, or messages, and not both; give [{"),
        ([{"prompt": 3}], None, "Can not safely convert"),
        ([{"messages": []}], None, "A row needs one prompt, a string, or messages, and not both; give [{"),
        ([{"messages": [{"role": "user"}]}], None, "content"),
        ([{"messages": "Polly"}], None, "Expected data to be list or numpy array"),
        ([{"messages": [{"role": "user", "content": "Polly"}]}], None, "has no chat template; give a prompt"),
    ],
)
def test_an_input_that_cannot_be_answered_is_reported(
    data: Any, parameters: dict[str, Any] | None, sentence: str, artifact: Path
) -> None:
    # An exception of MLflow's own, for its HTTP server passes on the words of no other.
    with pytest.raises(MlflowException) as raised:
        mlflow.load_model(str(artifact)).predict(data, params=parameters)
    assert sentence in str(raised.value)


def test_the_same_conversion_gives_the_same_bytes_without_pickles(artifact: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    write_mlmodel(again, format="toy", requirements=["numpy>=2"], engine=ENGINE)
    written = {path.relative_to(again).as_posix(): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert sorted(written) == [
        "MLmodel",
        "code/hallmark_toy_engine.py",
        "code/hallmark_toy_serving.py",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "serving_input_example.json",
    ]
    for name, data in written.items():
        assert (artifact / name).read_bytes() == data


def test_an_engine_may_pin_what_the_client_only_bounds(tmp_path: Path) -> None:
    output = tmp_path / "pinned"
    write_mlmodel(output, format="toy", requirements=["pandas==2.3.3"], engine=ENGINE)
    lines = (output / "requirements.txt").read_text().splitlines()
    assert lines == ["mlflow-skinny==3.17.2", "pandas==2.3.3", "boto3>=1.36", "jinja2>=3.1"]
    assert "- pandas==2.3.3" in (output / "conda.yaml").read_text()

"""An artifact must have the notices of its source, and its config.json must say what the source's says."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Corrupt
from tasks.integrity.companions import check_companions

CONFIG: Mapping[str, Any] = {
    "rms_norm_eps": 1e-5,
    "dtype": "float32",
    "eos_token_id": [1, 2],
    "max_position_embeddings": 512,
    "text_config": {"torch_dtype": "float32", "rope_parameters": {"rope_theta": 10000.0}},
}
NOTICES = ("LICENSE", "LICENSES/MIT.txt", "Terms.md")


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """Return a sound artifact in bfloat16; the folder `snapshot` lies beside it."""
    folder = tmp_path / "artifact"
    for path in (folder, tmp_path / "snapshot"):
        for name in NOTICES:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(f"{name}: anyone may do anything.\n")
    (tmp_path / "snapshot" / "README.md").write_text("no notice")
    text = {**CONFIG["text_config"], "torch_dtype": "bfloat16"}
    write(folder, {**CONFIG, "dtype": "bfloat16", "text_config": text})
    return folder


def write(folder: Path, config: Mapping[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def check(artifact: Path) -> None:
    check_companions(artifact, artifact.parent / "snapshot", CONFIG)


def test_other_dtypes_and_the_absence_of_a_configuration_are_no_fault(artifact: Path) -> None:
    check(artifact)
    write(artifact, {**CONFIG, "torch_dtype": "bfloat16"})
    check(artifact)
    (artifact / "config.json").unlink()
    check(artifact)


def edit(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        *outer, name = place.split(".")
        for each in outer:
            config = config[each]
        if value is None:
            del config[name]
        else:
            config[name] = value

    return change


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("rms_norm_eps", 1e-3, "rms_norm_eps is 0.001, and the source's is 1e-05"),
        ("max_position_embeddings", None, "max_position_embeddings is missing, and the source's is 512"),
        ("max_position_embeddings", 512.0, "max_position_embeddings is 512.0, and the source's is 512"),
        ("rope_scaling", {"factor": 2.0}, r"rope_scaling is {'factor': 2.0}, and the source's is missing"),
        ("eos_token_id", [1], r"eos_token_id is \[1\], and the source's is \[1, 2\]"),
        (
            "text_config.rope_parameters.rope_theta",
            5e5,
            r"text_config\.rope_parameters\.rope_theta is 500000\.0, and the source's is 10000\.0",
        ),
    ],
)
def test_another_configuration_is_refused(artifact: Path, place: str, value: Any, said: str) -> None:
    config = json.loads((artifact / "config.json").read_text())
    edit(place, value)(config)
    write(artifact, config)
    with pytest.raises(Corrupt, match=f"The artifact's config.json: {said}; run the release again with 'force'"):
        check(artifact)


@pytest.mark.parametrize(("text", "said"), [("{", "is not valid JSON"), ("[]", "is not a JSON object")])
def test_a_malformed_configuration_is_refused(artifact: Path, text: str, said: str) -> None:
    (artifact / "config.json").write_text(text)
    with pytest.raises(Corrupt, match=f"The artifact's config.json {said}.*run the release again with 'force'"):
        check(artifact)


@pytest.mark.parametrize("name", NOTICES)
def test_every_notice_of_the_source_must_be_there_as_it_is(artifact: Path, name: str) -> None:
    with (artifact / name).open("a") as file:
        file.write("x")
    with pytest.raises(Corrupt, match=f"The artifact's {name} differs from the source's"):
        check(artifact)
    (artifact / name).unlink()
    with pytest.raises(Corrupt, match=f"The artifact lacks {name} of the source"):
        check(artifact)

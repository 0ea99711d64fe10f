"""What the reference reads of its inputs, which is what its key covers."""

from fnmatch import fnmatchcase

from tasks.evaluation.definitions import REFERENCE


def read(name: str, *paths: str) -> list[str]:
    return [path for path in paths if any(fnmatchcase(path, pattern) for pattern in REFERENCE.reads[name])]


def test_only_the_weights_of_the_snapshot_decide_the_reference() -> None:
    assert read("snapshot", "README.md", "LICENSE", "config.json", "tokenizer.model", "model.safetensors") == [
        "model.safetensors"
    ]


def test_the_whole_view_decides_the_reference() -> None:
    paths = ("view/config.json", "view/additional_chat_templates/rag.jinja", "analysis.json")
    assert read("analysis", *paths) == list(paths)

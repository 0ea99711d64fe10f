"""An opened view holds the snapshot's weights and the settled files, and no other file of the snapshot."""

from pathlib import Path

import pytest

from tasks.checkpoint.view import FOLDER, open_view

SNAPSHOT = {
    "model.safetensors": "weights",
    "config.json": "as found",
    "tokenizer.json": "as found",
    "chat_template.jinja": "as found",
    "README.md": "card",
}
SETTLED = {"config.json": "settled", "additional_chat_templates/rag.jinja": "settled"}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_weights_come_from_the_snapshot_and_all_else_from_the_analysis(tmp_path: Path) -> None:
    snapshot = write(tmp_path / "snapshot", SNAPSHOT)
    analysis = write(tmp_path / "analysis", {"analysis.json": "{}"})
    write(analysis / FOLDER, SETTLED)
    view = open_view(snapshot, analysis, tmp_path / "below" / "view")
    found = {path.relative_to(view).as_posix(): path.read_text() for path in view.rglob("*") if path.is_file()}
    assert found == {"model.safetensors": "weights", **SETTLED}


def test_its_links_lead_to_files_also_from_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "snapshot", SNAPSHOT)
    write(tmp_path / "analysis" / FOLDER, SETTLED)
    monkeypatch.chdir(tmp_path)
    view = open_view(Path("snapshot"), Path("analysis"), Path("a/b/view"))
    assert (view / "model.safetensors").read_text() == "weights"
    assert (view / "config.json").read_text() == "settled"

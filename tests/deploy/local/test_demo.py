"""A recipe with a mistake ends the demo at once, with the reason, before anything is started."""

import sys
from pathlib import Path

import pytest

from deploy.local import demo, stack


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def never(*_: object) -> None:
        raise AssertionError("the stack was started")

    monkeypatch.setattr(stack, "up", never)
    monkeypatch.setattr(demo, "RECIPES", tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["demo", *arguments])
    return demo.main()


def test_a_mistake_in_the_recipe_is_reported(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipes / "mine.yaml").write_text("licences: []\n")
    assert run(monkeypatch, "--recipe", "mine") == 1
    assert capsys.readouterr().err.startswith("mine.yaml: description: Field required")


def test_a_recipe_that_does_not_exist_is_reported_with_the_nearest(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipes / "standard.yaml").touch()
    assert run(monkeypatch, "--recipe", "standart") == 1
    assert capsys.readouterr().err == ("There is no recipe 'standart' in dags/recipes (did you mean 'standard'?).\n")

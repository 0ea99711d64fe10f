"""Recipes for tests of how they are rendered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.recipe import Recipe
from tasks.settings import REPOSITORY

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def make_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRecipe:
    """Make a recipe with these targets on a host of four cores and a GPU."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_text("[host]\ncores = 4\ngpus = 1\n")

    def make(*targets: Any, **changed: Any) -> Recipe:
        content = {
            "name": "tested",
            "description": "A recipe for tests.",
            "folder": REPOSITORY / "dags" / "recipes",
            "licences": ["mit"],
            "texts": {"evaluation": "texts/demo-evaluation.jsonl", "calibration": "texts/demo-calibration.jsonl"},
            "targets": list(targets),
            "gates": [{"metric": "kld_mean", "maximum": 0.05, "reason": "a bound for tests"}],
            **changed,
        }
        return Recipe.model_validate(content)

    return make

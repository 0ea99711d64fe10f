"""What README and docs tell people to type or to read exists: commands, paths, keys, settings, names."""

import json
import os
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from deploy.local.settings import Ports, stack_settings
from operators.credentials import STORE_EXTRAS
from tasks.definitions import TASK_NAMES, find_definition
from tasks.formats.registry import FORMATS, target_names
from tasks.host.facts import host_facts
from tasks.pools import Pool, declared_pools
from tasks.recipe import Recipe, load_recipe
from tasks.runtimes import lock_digest
from tasks.settings import REPOSITORY

README = REPOSITORY / "README.md"
ROOT_PAGES = [REPOSITORY / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
FOLDERS_PAGES = [REPOSITORY / name / "README.md" for name in ("tests", "tests/fuzz", "bench")]
PAGES = [README, *ROOT_PAGES, *FOLDERS_PAGES, *sorted((REPOSITORY / "docs").glob("*.md"))]
OURS = ("dags/", "operators/", "tasks/", "deploy/", "tests/", "docs/", "bench/")
PLACEHOLDER = re.compile(r"NAME|[<*]|\.\.\.")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def words(page: Path = README) -> str:
    """A page in one line, so that no line's end parts what belongs together."""
    return " ".join(text_of(page).split())


def block(language: str, page: Path = README) -> str:
    """The one block of a page in that language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_make_targets_exist(page: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    # A program's text may have the word in a sentence.
    typed = "\n".join(code_of(page, program=False))
    named = set(re.findall(r"\bmake (?:--silent )?([a-z]+)\b", typed))
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert named <= known
    assert page != README or {"demo", "test", "check", "status", "down"} <= named


def test_make_clean_leaves_the_environments_and_the_models_that_people_put_there(tmp_path: Path) -> None:
    made = ("stack", "store", "cache", "jobs", "scratch", "locks", "logs", "bench", "envs", "hub")
    for name in made:
        (tmp_path / name / "deeper").mkdir(parents=True)
    environment = {**os.environ, "HALLMARK_HOME": str(tmp_path), "HALLMARK_ENVS": str(tmp_path / "envs")}
    subprocess.run(["make", "clean"], cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {"envs", "hub"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_paths_and_links_exist(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text_of(page)) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    parts = {part for code in code_of(page) for part in code.split()}
    paths = {part.rstrip('.,;:"') for part in parts if part.startswith(OURS) and not PLACEHOLDER.search(part)}
    missing += [path for path in paths if not (REPOSITORY / path).exists()]
    assert missing == []
    assert links or paths


def code_of(page: Path, program: bool = True) -> list[str]:
    """What stands in blocks or between backticks; blocks of Python only where `program` is true."""
    text = text_of(page)
    found = re.findall(r"^```([a-z]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    blocks = [block for language, block in found if program or language != "python"]
    outside = re.sub(r"^```[a-z]*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*blocks, *re.findall(r"`([^`]+)`", outside)]


def test_the_recipe_is_one(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "dags" / "recipes" / "texts", tmp_path / "texts")
    (tmp_path / "ours.yaml").write_text(block("yaml"), encoding="utf-8")
    recipe = load_recipe(tmp_path / "ours.yaml")
    assert recipe.name == "ours"
    named = ["safetensors-bf16", "gguf-q8_0", "gguf-q4_k_m", "gguf-q4-plain", "onnx-int8"]
    assert recipe.target_names == named
    assert all(recipe.rules_for(name, 1e9) for name in recipe.target_names)


def test_every_key_of_a_recipe_is_described() -> None:
    told = text_of(README)
    for key in set(Recipe.model_fields) - {"name", "folder"}:
        assert re.search(rf"^{key}:|`{key}\b", told, re.MULTILINE), key


def test_the_targets_and_formats_that_are_named_exist() -> None:
    section = words().split("The targets are")[1].split("; a wrong name")[0]
    suffixes = re.findall(r"`([a-z0-9_-]+)`", section)
    for name in suffixes:
        assert name in target_names() or f"gguf-{name}" in target_names() or name == "gguf-", name
    missing = set(FORMATS) - {name.split("-")[0] for name in suffixes}
    assert not missing, f"name a target of {missing} in README.md, where it says 'The targets are'"


def test_the_settings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_text(block("toml"), encoding="utf-8")
    assert stack_settings().ports == Ports()
    assert stack_settings().hub == "mirror"
    assert [(pool.name, pool.slots) for pool in declared_pools()] == [("cpu", 2)]
    assert (host_facts().cores, host_facts().gpus, host_facts().cache_bytes) == (2, 0, 200 * 10**9)


def test_tasks_run_by_hand_exist() -> None:
    specs = [json.loads(spec) for spec in re.findall(r"^\$ echo '(.*)' >", text_of(README), re.MULTILINE)]
    assert specs
    for spec in specs:
        definition = find_definition(spec["task"], spec["parameters"])
        module, name = definition.parameters.split(":")
        getattr(import_module(module), name).model_validate(spec["parameters"])
    named = re.findall(r"-m tasks ([a-z_]+) ", text_of(README))
    assert set(named) <= set(TASK_NAMES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_environments_and_connections_that_are_named_exist(page: Path) -> None:
    told = words(page)
    for name in set(re.findall(r"\.hallmark/envs/([a-z-]+)/", told)):
        assert lock_digest(name)
    credentials = (REPOSITORY / "operators" / "credentials.py").read_text()
    for connection in set(re.findall(r"`(hallmark_\w+)`", told)):
        assert f'"{connection}"' in credentials


def test_the_page_on_airflow_has_every_extra_of_the_store_and_every_field_of_a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = REPOSITORY / "docs" / "your-own-airflow.md"
    told = text_of(page)
    for name in (*STORE_EXTRAS, *(set(Pool.model_fields) - {"name"})):
        assert f"`{name}`" in told, name
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_text(block("toml", page), encoding="utf-8")
    pools = declared_pools()
    for name in re.findall(r"^\[pools\.([\w-]+)\]", block("toml", page), re.MULTILINE):
        assert name in [pool.name for pool in pools]

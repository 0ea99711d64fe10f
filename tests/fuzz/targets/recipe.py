"""A recipe: YAML written by people, read whenever Airflow parses its DAGs."""

from pathlib import Path

import yaml

from tasks.gates.defaults import default_table
from tasks.recipe import load_recipe
from tests.fuzz.target import Target


def prepare(folder: Path) -> None:
    for name in ("e", "c"):
        (folder / f"{name}.jsonl").write_text('{"text": "x"}\n')
    # The product's own table is read once, and is no input of the parser.
    default_table()


def parse(data: bytes, folder: Path) -> None:
    path = folder / "recipe.yaml"
    path.write_bytes(data)
    recipe = load_recipe(path)
    for text in (recipe.texts.evaluation, recipe.texts.calibration):
        assert folder in (folder / text).resolve().parents
    for name in recipe.target_names:
        rules, bounds = recipe.rules_for(name, 1e9), recipe.bounds_for(name, 1e9)
        assert {bound.metric for bound in bounds} <= {rule.metric for rule in rules}
    content = recipe.model_dump(mode="json", exclude={"name", "folder", "targets"})
    targets = [
        {
            f"{target.format}-{target.scheme}": {
                **target.options,
                "as": target.name,
                "maker": target.maker,
                **({"on": list(target.on)} if target.on else {}),
            }
        }
        for target in recipe.targets
    ]
    gates = ["defaults" if gate is None else gate for gate in content["gates"]]
    path.write_text(
        yaml.safe_dump({**content, "targets": targets, "gates": gates}, allow_unicode=True), encoding="utf-8"
    )
    assert load_recipe(path) == recipe


TARGET = Target(
    parse=parse,
    prepare=prepare,
    measured={"tasks/recipe.py": [], "tasks/gates/verdict.py": ["Rule"]},
    runs=3_000,
    floor=85,
    words=(
        *(
            "&a",
            "*a",
            "<<: ",
            "!!int",
            "!!python/object/apply:os.system",
            "!!timestamp",
            "!!binary",
            "? ",
            "2001-99-99",
        ),
        *(
            "targets:",
            "gates: defaults",
            "- defaults",
            "gguf-q8_0",
            "onnx-fp32",
            "maximum: .nan",
            "expect_blocked:",
            "schedule:",
            "as: report",
            "maker: [x]",
            "- ",
            "0x",
            "1:60",
        ),
    ),
)

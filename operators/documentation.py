"""The page that Airflow shows of a recipe's DAG."""

from tasks.gates.verdict import Rule
from tasks.recipe import Recipe


def recipe_page(recipe: Recipe) -> str:
    """Return Markdown: what is made, by which gates it is let through, and how the run must end."""
    targets = "\n".join(
        f"| `{target.name}` | {target.format} | {target.quantization} | {target.pool} "
        f"| {_demand(recipe, target.name)} |"
        for target in recipe.targets
    )
    gates = "\n".join(f"| {rule.metric} | {_bound(rule)} | `{rule.targets}` | {rule.reason} |" for rule in recipe.gates)
    return (
        f"{recipe.description}\n\n"
        f"Allowed licences: {', '.join(recipe.licences)}.\n\n"
        f"| target | format | quantization | pool | the run demands |\n|---|---|---|---|---|\n{targets}\n\n"
        f"| gate | bound | targets | why |\n|---|---|---|---|\n{gates}\n"
    )


def _demand(recipe: Recipe, target: str) -> str:
    if target in recipe.expect_blocked:
        return "that it is blocked"
    return "that it passes" if recipe.is_required(target) else "nothing"


def _bound(rule: Rule) -> str:
    return f"at most {rule.maximum:g}" if rule.maximum is not None else f"at least {rule.minimum:g}"

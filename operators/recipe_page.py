"""The page that Airflow shows of a recipe's DAG. Its dialog is narrow: few columns, and words that fit into them."""

from tasks.evaluation.metrics import METRICS
from tasks.formats.base import Target
from tasks.gates.verdict import Rule
from tasks.gates.wording import say_bound
from tasks.recipe import Recipe


def recipe_page(recipe: Recipe) -> str:
    """Return Markdown: how it runs, what is made, by which gates it is let through, and how the run must end."""
    targets = "\n".join(
        f"| {target.name} | {_engines(target)} | {_demand(recipe, target.name)} |" for target in recipe.targets
    )
    gates = "\n".join(
        f"| {METRICS[rule.metric].label} | {_bound(rule)} | {_of(rule)} | {_cell(rule.reason)} |"
        for rule in recipe.gates
    )
    return (
        f"{recipe.description}\n\n"
        "**Trigger** it with a model of the Hub; a *dry run* ends with the plan, in the log of preflight. "
        "Each target is converted, evaluated against the source, benchmarked and gated. "
        "A gate that blocks is red and stops no other target. "
        "The last task, conclude, is red only where the run did not end as demanded below.\n\n"
        f"**Models:** {', '.join(recipe.models) or 'named at the trigger'}. "
        f"**Licences:** {'any' if '*' in recipe.licences else ', '.join(recipe.licences)}.\n\n"
        f"#### Targets\n\n| target | engine | demanded |\n|---|---|---|\n{targets}\n\n"
        f"#### Gates\n\n| metric | bound | targets | why |\n|---|---|---|---|\n{gates}\n"
    )


def _engines(target: Target) -> str:
    return ", ".join(target.engines) + (f", on {' and '.join(target.on)}" if target.on else "")


def _demand(recipe: Recipe, target: str) -> str:
    if target in recipe.expect_blocked:
        return "is blocked"
    return "passes" if recipe.is_required(target) else "-"


def _bound(rule: Rule) -> str:
    if rule.maximum is not None:
        return f"≤ {say_bound(rule.metric, rule.maximum)}"
    return f"≥ {say_bound(rule.metric, rule.minimum)}" if rule.minimum is not None else ""


def _of(rule: Rule) -> str:
    return "all" if rule.targets == "*" else _cell(rule.targets)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")

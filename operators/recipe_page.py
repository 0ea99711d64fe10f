"""The page that Airflow shows of a recipe's DAG. Its dialog is narrow: few columns, and words that fit into them."""

from tasks.evaluation.metrics import METRICS
from tasks.formats.base import Target
from tasks.gates.defaults import DefaultRule, size_classes
from tasks.gates.verdict import Rule
from tasks.gates.wording import say_rule
from tasks.recipe import Recipe


def recipe_page(recipe: Recipe) -> str:
    """Return Markdown: how it runs, what is made, by which gates it is let through, and how the run must end."""
    targets = "\n".join(
        f"| {target.name} | {_engines(target)} | {_demand(recipe, target.name)} |" for target in recipe.targets
    )
    gates = "\n".join(
        f"| {METRICS[rule.metric].label} | {say_rule(rule)} | {_of(rule)} | {_cell(rule.reason)} |"
        for rule in recipe.own_gates
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
        f"#### Gates\n\n{_default_gates(recipe)}| metric | bound | targets | why |\n|---|---|---|---|\n{gates}\n"
    )


def _default_gates(recipe: Recipe) -> str:
    """Return the default gates in effect, with one row for targets whose bounds are alike; empty without defaults."""
    if not recipe.with_defaults:
        return ""
    classes = size_classes()
    alike: dict[tuple[str, str], list[str]] = {}
    for target in recipe.targets:
        # The same metrics come in the same order for every size.
        for same in zip(*(_defaults(recipe, target, size) for size in classes.values()), strict=True):
            each = list(map(say_rule, same))
            bound = each[0] if len(set(each)) == 1 else "; ".join(each)
            row = METRICS[same[0].metric].label, bound
            alike.setdefault(row, []).append(target.name)
    rows: dict[tuple[str, str], list[str]] = {}
    for (label, bounds), names in alike.items():
        named = "all" if names == recipe.target_names else _cell(", ".join(names))
        rows.setdefault((bounds, named), []).append(label)
    table = "\n".join(f"| {'; '.join(labels)} | {bounds} | {named} |" for (bounds, named), labels in rows.items())
    return (
        f"The default gates. Where a cell has several bounds, they are for models of these numbers of parameters: "
        f"{'; '.join(classes)}. A bound gives way to the source's own noise, up to ten times the bound.\n\n"
        f"| metric | bound | targets |\n|---|---|---|\n{table}\n\n"
        "The recipe's own gates, which replace a default gate or add to them:\n\n"
    )


def _defaults(recipe: Recipe, target: Target, parameters: float) -> list[Rule]:
    return [rule for rule in recipe.rules_for(target.name, parameters) if isinstance(rule, DefaultRule)]


def _engines(target: Target) -> str:
    return ", ".join(target.engines) + (f", on {' and '.join(target.on)}" if target.on else "")


def _demand(recipe: Recipe, target: str) -> str:
    if target in recipe.expect_blocked:
        return "is blocked"
    return "passes" if recipe.is_required(target) else "-"


def _of(rule: Rule) -> str:
    return "all" if rule.targets == "*" else _cell(rule.targets)


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")

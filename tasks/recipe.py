"""The recipe: a YAML file that names the models, the targets, the gates, and the targets that must pass.

A recipe is read whenever DAGs are parsed. Every mistake that can be found then is reported then, because a release
takes hours.
"""

import reprlib
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from tasks.errors import InvalidRecipe
from tasks.evaluation.bound import Bound
from tasks.evaluation.enough import fewest_windows, undecidable
from tasks.evaluation.metrics import ANSWER_METRICS, METRICS, SPEED_METRICS
from tasks.evaluation.parameters import ASKED, QUESTIONS, RecipeEvaluation
from tasks.formats.base import Target
from tasks.formats.registry import parse_target, precision_of
from tasks.gates.defaults import WORD, DefaultRule, default_rules, size_classes
from tasks.gates.verdict import Rule
from tasks.model import Model, explain
from tasks.names import Repository, did_you_mean, text_like
from tasks.release.naming import registered_name
from tasks.release.usage import Context
from tasks.source.parameters import AllowedCode
from tasks.strict_yaml import read_yaml

BesideRecipe = Annotated[
    str,
    text_like(
        r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*",
        "a path below the recipe's folder, of letters, digits, '_', '-', '.' and '/'",
    ),
]

FILE_NAME = "a name for a recipe's file: a lower-case letter and up to 39 lower-case letters, digits or '_'; rename it"


class Texts(Model):
    """Paths of two files of JSON lines, below the recipe's folder.

    Each line has a `text`. Some lines may also have a `prompt` and its right `answer`.
    """

    evaluation: BesideRecipe
    calibration: BesideRecipe


class Recipe(Model):
    """A parsed recipe. The README describes its fields.

    name, folder: the name of the recipe's file without its ending, and the folder that contains the file.
    context: which context the report's commands state: as far as an artifact was compared, or all of the source's.
    gates: the gates in the recipe's order; None stands for the word `defaults`, which can only be the first.
    timeout_hours: the limit of each single task.
    """

    name: Annotated[str, text_like(r"[a-z][a-z0-9_]{0,39}", FILE_NAME)]
    description: str
    folder: Path
    owner: str = "platform"
    models: tuple[Repository, ...] = ()
    schedule: str | None = None
    licences: Annotated[tuple[str, ...], Field(min_length=1)]
    code: tuple[AllowedCode, ...] = ()
    pickles: Literal["refuse", "convert"] = "refuse"
    texts: Texts
    evaluation: RecipeEvaluation = RecipeEvaluation()
    context: Context = "compared"
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    gates: Annotated[tuple[Rule | None, ...], Field(min_length=1)]
    required: tuple[str, ...] = ("*",)
    expect_blocked: tuple[str, ...] = ()
    registered_name: str = "{owner}--{name}--{target}"
    timeout_hours: Annotated[float, Field(gt=0, le=1000)] = 12

    @field_validator("targets", mode="before")
    @classmethod
    def _parse_targets(cls, targets: Any) -> Any:
        if not isinstance(targets, list):
            return targets
        return tuple(_parse_target(entry) for entry in targets)

    @field_validator("gates", mode="before")
    @classmethod
    def _read_defaults(cls, gates: Any) -> Any:
        given = [gates] if isinstance(gates, str) else gates
        if not isinstance(given, list):
            return given
        if None in given:
            raise ValueError(f"an entry is empty; write a gate, or {WORD!r} as the first entry")
        for word in given:
            if isinstance(word, str) and word != WORD:
                raise ValueError(
                    f"{reprlib.repr(word)} is no gate; write {WORD!r}, or a gate such as "
                    "{metric: kld_mean, maximum: 0.05, reason: ...}"
                )
        if WORD in given[1:]:
            raise ValueError(f"{WORD!r} must be the first entry; the gates after it replace a default or add to them")
        return [None, *given[1:]] if given[:1] == [WORD] else given

    @model_validator(mode="after")
    def _agree(self) -> "Recipe":
        names = self.target_names
        for what, listed in (("target", names), ("model", list(self.models))):
            if twice := [name for name in listed if listed.count(name) > 1]:
                raise ValueError(f"the {what} {twice[0]!r} is listed twice")
        for name in self.expect_blocked:
            if name not in names:
                raise ValueError(f"'expect_blocked' names {name!r}, which is not a target of this recipe")
            if name in self.required:
                raise ValueError(f"{name!r} is in 'required' and in 'expect_blocked'; remove it from one of them")
        for pattern in (*self.required, *(rule.targets for rule in self.own_gates)):
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(f"the pattern {pattern!r} matches no target of this recipe")
        for rule in self.own_gates:
            if rule.metric not in METRICS:
                raise ValueError(f"gates: there is no metric {rule.metric!r}{did_you_mean(rule.metric, METRICS)}")
            _check_range(rule)
            if rule.metric == "kld_long" and not self.evaluation.long_window_tokens:
                raise ValueError(
                    "gates: 'kld_long' is not measured if 'evaluation.long_window_tokens' is 0; remove one of them"
                )
        if self.schedule and not self.models:
            raise ValueError("a 'schedule' needs 'models' to watch")
        for target in self.targets:
            self._can_be_released(target)
        return self

    def _can_be_released(self, target: Target) -> None:
        """Raise ValueError for a target that could never pass its gates, or that no gate checks."""
        if not target.servable:
            raise ValueError(
                f"no engine serves {target.name!r}; remove it from 'targets': it is made when another target needs it"
            )
        rules = self._rules_of_any_size(target.name)
        if not rules:
            raise ValueError(
                f"no gate checks the target {target.name!r}; add one, or let the 'targets' of a gate match it"
            )
        for above, below in product(rules, repeat=2):
            if above.metric != below.metric or above.minimum is None or below.maximum is None:
                continue
            if above.minimum > below.maximum:
                what = f"at least {above.minimum} and at most {below.maximum}"
                raise ValueError(f"gates: {above.metric!r} of {target.name!r} cannot be {what}")
        self._can_be_decided(target.name)
        try:
            registered_name(self.registered_name, "owner/name", target.name)
        except InvalidRecipe as error:
            raise ValueError(str(error)) from error

    def _can_be_decided(self, target: str) -> None:
        """Raise ValueError if the windows are too few for a gate of the target, whatever the size of the model."""
        windows, tokens = self.evaluation.windows, self.evaluation.window_tokens
        classes = [self.bounds_for(target, size) for size in size_classes().values()]
        undecided = [bound for bounds in classes if (bound := undecidable(windows, tokens - 1, bounds))]
        if len(undecided) < len(classes):
            return
        needed = [count for bounds in classes if (count := fewest_windows(tokens - 1, bounds))]
        remedy = f"raise it to {min(needed)} at least, loosen the gate," if needed else "loosen the gate,"
        raise ValueError(
            f"evaluation: 'windows' is {windows}, too few windows of {tokens} tokens to decide the gate on "
            f"{METRICS[undecided[0].metric].label} of {target!r} even for a perfect artifact; "
            f"{remedy} or set 'stop: never'"
        )

    def _rules_of_any_size(self, target: str) -> list[Rule]:
        return [rule for size in size_classes().values() for rule in self.rules_for(target, size)]

    @property
    def questions(self) -> int:
        """How many questions of the evaluation text are asked at most: few if no gate bounds the answers."""
        rules = [rule for name in self.target_names for rule in self._rules_of_any_size(name)]
        decide = self.evaluation.stop == "never" or any(rule.metric in ANSWER_METRICS for rule in rules)
        return QUESTIONS if decide else ASKED

    @property
    def target_names(self) -> list[str]:
        """The names of the targets, in the recipe's order."""
        return [target.name for target in self.targets]

    def is_required(self, target: str) -> bool:
        """Whether the run fails if this target does not pass. A target in `expect_blocked` is never required."""
        return target not in self.expect_blocked and any(fnmatchcase(target, pattern) for pattern in self.required)

    @property
    def with_defaults(self) -> bool:
        """Whether the default gates bind the targets."""
        return self.gates[0] is None

    @property
    def own_gates(self) -> list[Rule]:
        """The gates that the recipe writes itself."""
        return [rule for rule in self.gates if rule is not None]

    def rules_for(self, target: str, parameters: float) -> list[Rule]:
        """Return the gates of one target of a model with so many parameters, default gates first.

        Of several minima, or several maxima, of a metric, the last one counts. A recipe without a long window has no
        default gate on it.
        """
        chosen: dict[tuple[str, bool], Rule] = {}
        for rule in (*self._defaults_for(target, parameters), *self.own_gates):
            if fnmatchcase(target, rule.targets):
                chosen[rule.metric, rule.maximum is None] = rule
        return list(chosen.values())

    def bounds_for(self, target: str, parameters: float) -> list[Bound]:
        """Return the bounds that decide when enough text was compared; none with `stop: never`.

        Those on timings are left out: another task measures them. The order does not depend on the recipe's.
        """
        if self.evaluation.stop == "never":
            return []
        bounds = [rule.bound for rule in self.rules_for(target, parameters) if rule.metric not in SPEED_METRICS]
        return sorted(bounds, key=lambda bound: (bound.metric, bound.maximum is None))

    def _defaults_for(self, name: str, parameters: float) -> list[DefaultRule]:
        if not self.with_defaults:
            return []
        target = next(target for target in self.targets if target.name == name)
        rules = default_rules(precision_of(target), parameters)
        return [rule for rule in rules if rule.metric != "kld_long" or self.evaluation.long_window_tokens]


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises InvalidRecipe with the file, the field and the mistake."""
    try:
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise InvalidRecipe(f"{path.name}: a recipe is a YAML mapping; see dags/recipes/demo.yaml for one.")
        for field in ("name", "folder"):
            if field in content:
                raise InvalidRecipe(f"{path.name}: {field}: this comes from the file's path; remove the line.")
        # Texts are named by their path in the repository, which Airflow may reach through a link.
        recipe = Recipe.model_validate({**content, "name": path.stem, "folder": path.parent.resolve()})
        for name in (recipe.texts.evaluation, recipe.texts.calibration):
            if not (recipe.folder / name).is_file():
                raise InvalidRecipe(f"{path.name}: texts: there is no file {name!r} beside the recipe.")
        asked = next((rule.metric for rule in recipe.own_gates if rule.metric in ANSWER_METRICS), None)
        if asked and not _asks(recipe.folder / recipe.texts.evaluation):
            raise InvalidRecipe(
                f"{path.name}: gates: {asked!r} is never measured, because the text {recipe.texts.evaluation} has no "
                "questions; give it records with 'prompt' and 'answer', or remove the gate."
            )
    except ValidationError as error:
        raise InvalidRecipe(f"{path.name}: {explain(error, Recipe)}.") from error
    # PyYAML raises ValueError for a malformed number or date.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRecipe(f"{path.name} is not valid YAML: {_yaml_mistake(error)}.") from error
    except OSError as error:
        raise InvalidRecipe(
            f"{path.name} or its texts cannot be read ({error.strerror}); correct the file, or remove it."
        ) from error
    return recipe


def _asks(text: Path) -> bool:
    """Return whether a text has a question. Within a text, JSON escapes quotation marks, so this can only be a name."""
    with text.open("rb") as lines:
        return any(b'"answer"' in line for line in lines)


def _yaml_mistake(error: Exception) -> str:
    """Return what is wrong in one line; with its place and what helps, where PyYAML knows the place."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        place = f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
        return f"{error.problem} ({place}); correct that line, or put its text in quotes"
    return " ".join(str(error).split())


def _check_range(rule: Rule) -> None:
    """Raise ValueError for a bound that the metric never reaches: such a gate always blocks, or never."""
    metric = METRICS[rule.metric]
    what = f"gates: the {'minimum' if rule.maximum is None else 'maximum'} {rule.limit:g} of {rule.metric!r}"
    if rule.limit < metric.smallest:
        raise ValueError(f"{what} is below {metric.smallest:g}, its smallest value")
    if rule.limit > metric.largest:
        example = f"; write {rule.limit / 100:g} for {rule.limit:g} %" if metric.unit == "%" else ""
        raise ValueError(f"{what} is beyond {metric.largest:g}, its largest value{example}")


def _parse_target(entry: Any) -> Target:
    """Return the target of a list entry: a name, or a mapping of one name to its options."""
    if isinstance(entry, str):
        return _checked(entry, {})
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, options),) = entry.items()
        if isinstance(name, str) and isinstance(options, dict):
            return _checked(name, options)
    raise ValueError(f"a target must be a name, or a name with options below it, not {reprlib.repr(entry)}")


def _checked(name: str, options: dict[str, Any]) -> Target:
    try:
        return parse_target(name, options)
    except InvalidRecipe as error:
        raise ValueError(str(error)) from error

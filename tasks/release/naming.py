"""The name of a registered model, from the recipe's template."""

from string import Formatter

from tasks.errors import InvalidRecipe

FIELDS = ("owner", "name", "target")

LONGEST = 256
"""Characters that MLflow's database has for a name; SQLite keeps more, the others refuse it or cut it."""


def registered_name(template: str, repository: str, target: str) -> str:
    """Return the template with `{owner}`, `{name}` and `{target}` filled in.

    Raises InvalidRecipe for any other field, for a template without `{target}` (all targets would be versions of one
    model), and for a name that MLflow or an address such as `models:/NAME@champion` cannot hold.
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise InvalidRecipe(f"registered_name: {template!r} is no template: {error}.") from error
    fields = [str(field) for _, field, _, _ in parts]
    if any(spec or conversion for _, _, spec, conversion in parts):
        # A width could ask for a name of gigabytes.
        raise InvalidRecipe(f"registered_name: {template!r} formats a field; write its name alone between braces.")
    unknown = [field for field in fields if field not in FIELDS]
    if unknown:
        raise InvalidRecipe(f"registered_name: {template!r} has the field {unknown[0]!r} (known: {', '.join(FIELDS)}).")
    if "target" not in fields:
        raise InvalidRecipe(
            f"registered_name: {template!r} lacks '{{target}}', so its targets could not be told apart."
        )
    owner, name = repository.split("/")
    filled = template.format(owner=owner, name=name, target=target)
    refused = sorted(mark for mark in set(filled) if mark in "/:@'`\"%?#\\ " or not mark.isprintable())
    if refused:
        raise InvalidRecipe(
            f"registered_name: {filled!r} holds {refused[0]!r}, which MLflow's addresses cannot; change the template."
        )
    if len(filled) > LONGEST:
        raise InvalidRecipe(
            f"registered_name: {filled!r} is {len(filled)} characters long, and MLflow holds {LONGEST}; "
            "shorten the template."
        )
    return filled

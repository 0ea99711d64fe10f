"""The name of a registered model, from the recipe's template."""

from string import Formatter

from tasks.errors import InvalidRecipe

FIELDS = ("owner", "name", "target")


def registered_name(template: str, repository: str, target: str) -> str:
    """Return the template with `{owner}`, `{name}` and `{target}` filled in.

    Raises InvalidRecipe for any other field, for a template without `{target}` (all targets would be versions of one
    model), and for a name that an address such as `models:/NAME@champion` cannot hold.
    """
    try:
        fields = [field for _, field, spec, conversion in Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise InvalidRecipe(f"registered_name: {template!r} is no template: {error}.") from error
    unknown = [field for field in fields if field not in FIELDS]
    if unknown:
        raise InvalidRecipe(f"registered_name: {template!r} has the field {unknown[0]!r} (known: {', '.join(FIELDS)}).")
    if "target" not in fields:
        raise InvalidRecipe(
            f"registered_name: {template!r} lacks '{{target}}', so its targets could not be told apart."
        )
    owner, name = repository.split("/")
    filled = template.format(owner=owner, name=name, target=target)
    refused = sorted(set(filled) & set("/:@'`\"%?#\\ "))
    if refused:
        raise InvalidRecipe(
            f"registered_name: {filled!r} holds {refused[0]!r}, which MLflow's addresses cannot; change the template."
        )
    return filled

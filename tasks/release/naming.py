"""Makes the name of a registered model from the recipe's template."""

import itertools
import re
from string import Formatter

from tasks.errors import InvalidRecipe

FIELDS = {
    "owner": "repositories of two owners",
    "name": "all repositories of an owner",
    "target": "all targets",
}
"""The fields of a template, and what would get the same name without each of them.

What is champion is recorded per repository. If two repositories shared a registered model, each would replace the
other's champion.
"""

SEPARATOR = re.compile(r"--|[^A-Za-z0-9._-]")
"""What must stand between two fields: the Hub allows neither in a name. `{owner}-{name}` would give `a-b/c` and `a/b-c`
one name.
"""

LONGEST = 256
"""The longest name that MLflow's database holds, in characters. SQLite accepts more; other databases do not."""


def registered_name(template: str, repository: str, target: str) -> str:
    """Return the template with `{owner}`, `{name}` and `{target}` filled in.

    Raises InvalidRecipe for any other field; for a template without one of these fields, because the versions of two
    repositories or targets would then be versions of one model; and for a name that MLflow or an address such as
    `models:/NAME@champion` cannot hold.
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise InvalidRecipe(f"registered_name: {template!r} is not a valid template: {error}.") from error
    fields = [str(field) for _, field, _, _ in parts]
    if any(spec or conversion for _, _, spec, conversion in parts):
        # A field width could ask for a name of gigabytes.
        raise InvalidRecipe(f"registered_name: {template!r} formats a field; write only its name between the braces.")
    unknown = [field for field in fields if field not in FIELDS]
    if unknown:
        raise InvalidRecipe(f"registered_name: {template!r} has the field {unknown[0]!r} (known: {', '.join(FIELDS)}).")
    for field, alike in FIELDS.items():
        if field not in fields:
            raise InvalidRecipe(
                f"registered_name: {template!r} lacks '{{{field}}}', so {alike} could get the same name; add it."
            )
    for (_, before, _, _), (between, after, _, _) in itertools.pairwise(parts):
        if not SEPARATOR.search(between):
            raise InvalidRecipe(
                f"registered_name: {template!r} has only {between!r} between '{{{before}}}' and '{{{after}}}', so two "
                "repositories could get the same name; put '--' there, which no repository has in its name."
            )
    owner, name = repository.split("/")
    filled = template.format(owner=owner, name=name, target=target)
    refused = sorted(mark for mark in set(filled) if mark in "/:@'`\"%?#\\ " or not mark.isprintable())
    if refused:
        raise InvalidRecipe(
            f"registered_name: {filled!r} contains {refused[0]!r}, which MLflow's addresses do not allow; "
            "change the template."
        )
    if len(filled) > LONGEST:
        raise InvalidRecipe(
            f"registered_name: {filled!r} has {len(filled)} characters, and MLflow allows {LONGEST}; "
            "shorten the template."
        )
    return filled

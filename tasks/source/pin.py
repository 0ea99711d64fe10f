"""Pin a revision to a commit, and refuse early what the recipe does not allow or what cannot be converted."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import huggingface_hub

from tasks.checkpoint.reasons import reason
from tasks.contract import TaskContext
from tasks.errors import Refused
from tasks.source.hub import HubRepository, check_access, read_repository
from tasks.source.hub_session import endpoint
from tasks.source.parameters import PinParameters
from tasks.source.published_config import check_unquantized, read_config
from tasks.source.selection import estimate_weight_bytes, find_companions, find_left_out, find_weights
from tasks.strict_yaml import list_item


def pin(parameters: PinParameters, context: TaskContext) -> Mapping[str, Any]:
    """Return the source's facts. Of the files it downloads config.json alone.

    Raises NotFound, AccessDenied, Refused, Unsupported or Corrupt for what the names, the card or config.json rule out.
    """
    context.version("huggingface_hub", huggingface_hub.__version__)
    repository = read_repository(parameters.repository, parameters.revision, context.progress)
    if repository.name != parameters.repository:
        context.progress(
            f"The Hub calls {parameters.repository} {repository.name}; the release has this name. What was registered "
            "under the former name stays as it is."
        )
    weights = find_weights(repository)
    companions = find_companions(repository)
    check_licence(repository, parameters.licences)
    if weights.format == "pytorch" and parameters.pickles == "refuse":
        raise Refused(
            f"{repository.name} has only pickled weights ({weights.file.path}), and loading pickles can run code; "
            "add the line 'pickles: convert' to the recipe to load them as plain tensors and convert them."
        )
    if repository.gated or repository.private:
        check_access(repository, weights.file, context.progress)
    check_unquantized(repository, read_config(repository, context))
    for sentence in find_left_out(repository, weights):
        context.progress(sentence)
    link = None if repository.licence_file or not repository.licence_link else reason(repository.licence_link)
    if link:
        context.progress(
            f"The card of {repository.name} names the licence's text {link!r}, "
            "which is no file of the repository, so it does not travel with the released models."
        )
    context.progress(f"{repository.name} at {parameters.revision} is the commit {repository.commit}")
    return {
        "repository": repository.name,
        "commit": repository.commit,
        "revision": parameters.revision,
        "url": f"{endpoint()}/{repository.name}/tree/{repository.commit}",
        "licence": repository.licence,
        "licence_link": link,
        "gated": repository.gated,
        "private": repository.private,
        "last_modified": repository.last_modified,
        "base_models": list(repository.base_models),
        "files": len(repository.files),
        "weight_format": weights.format,
        "weight_bytes": estimate_weight_bytes(repository, weights),
        "companion_bytes": sum(file.size for file in companions),
    }


def check_licence(repository: HubRepository, allowed: Sequence[str]) -> None:
    """Raise Refused for a licence that the recipe does not list; the message has the line to add to the recipe.

    Of several licences each must be allowed: a card does not say if they are a choice, or hold for several parts.
    """
    if "*" in allowed:
        return
    listed = ", ".join(allowed) or "none"
    if not repository.licences:
        raise Refused(
            f"The card of {repository.name} names no licence, and the recipe allows only {listed}; "
            "ask the publisher for one, or allow any with the line '- \"*\"' below 'licences:' in the recipe."
        )
    known = {_plain(name) for name in allowed}
    for licence in repository.licences:
        if _plain(licence) not in known:
            raise Refused(
                f"The licence {licence!r} of {repository.name} is not among the recipe's ({listed}); "
                f"if you may release under it, add the line '{list_item(licence)}' below 'licences:' in the recipe."
            )


def _plain(licence: str) -> str:
    """Cards spell one licence in several ways: `apache-2.0`, `Apache 2.0`, `apache_2.0`."""
    return re.sub(r"[\s_-]+", "-", licence.strip().casefold())

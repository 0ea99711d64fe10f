"""Whether an artifact's context is long enough for what the reference asks, checked before anything is measured.

The reference is made within the source's context. An artifact's context may be shorter: a format may limit it, and a
source may name no limit where the artifact needs one.
"""

from tasks.engines.runner import GivesLogits
from tasks.errors import Unsupported
from tasks.evaluation.reference_files import Generations, ReferenceInfo


def check_windows(runner: GivesLogits, info: ReferenceInfo, long_tokens: int | None = None) -> None:
    """Raise Unsupported where a window is longer than the artifact's context.

    long_tokens: how many tokens of the long window are compared; None for the windows of `info`.
    """
    tokens = info.window_tokens if long_tokens is None else long_tokens
    if tokens > runner.context_length:
        long = "the long window", "long_window_tokens"
        what, setting = ("a window", "window_tokens") if long_tokens is None else long
        raise _too_short(runner, info, what, tokens, f"lower 'evaluation.{setting}' in the recipe")


def check_prompts(runner: GivesLogits, info: ReferenceInfo, generations: Generations) -> None:
    """Raise Unsupported where a prompt with its continuation, or a question with its answer, is longer than that."""
    for prompt in generations.continuations:
        needed = len(prompt.prompt_ids) + generations.max_tokens
        if needed > runner.context_length:
            what = f"{prompt.name!r} with {generations.max_tokens} generated tokens"
            remedy = "lower 'evaluation.generated_tokens' in the recipe, or shorten the evaluation text's prompts"
            raise _too_short(runner, info, what, needed, remedy)
    for question in generations.questions:
        needed = len(question.prompt_ids) + question.max_tokens
        if needed > runner.context_length:
            what = f"the question {question.name!r} with its answer"
            raise _too_short(runner, info, what, needed, "shorten the evaluation text's prompts")


def _too_short(runner: GivesLogits, info: ReferenceInfo, what: str, needed: int, remedy: str) -> Unsupported:
    source = "has no limit" if info.context_length is None else f"holds {info.context_length}"
    return Unsupported(
        f"The artifact's context holds {runner.context_length} tokens (the source's {source}), "
        f"and {what} has {needed}; {remedy}, or leave this target out."
    )

"""Whether an artifact's context is long enough for what the reference asks, checked before anything is measured.

The reference is made within the source's context. An artifact's context may be shorter: a format may limit it, and a
source may name no limit where the artifact needs one.
"""

from tasks.engines.runner import Runner
from tasks.errors import Unsupported
from tasks.evaluation.reference_files import Generations, ReferenceInfo


def check_windows(runner: Runner, info: ReferenceInfo, is_long: bool = False) -> None:
    """Raise Unsupported where a window, or the long one, is longer than the artifact's context."""
    if info.window_tokens > runner.context_length:
        what, setting = ("the long window", "long_window_tokens") if is_long else ("a window", "window_tokens")
        raise _too_short(runner, info, what, info.window_tokens, f"lower 'evaluation.{setting}' in the recipe")


def check_prompts(runner: Runner, info: ReferenceInfo, generations: Generations) -> None:
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


def _too_short(runner: Runner, info: ReferenceInfo, what: str, needed: int, remedy: str) -> Unsupported:
    source = "has no limit" if info.context_length is None else f"holds {info.context_length}"
    return Unsupported(
        f"The artifact's context holds {runner.context_length} tokens (the source's {source}), "
        f"and {what} has {needed}; {remedy}, or leave this target out."
    )

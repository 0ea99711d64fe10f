"""Finds the settings with which llama-server renders chats as the source does.

llama-server gives a chat template variables that the source and Hallmark's serving leave undefined:

- `enable_thinking`, always: true if it finds in the template that the model thinks, else false;
- by default, variables of several names that tell the template to keep the thoughts of earlier turns.

So a model may be asked to think in a prompt that nobody compared. Gemma 4 does not think if the first variable is
undefined. The variables are tried on the source's own template, and the facts of the file say which values change
nothing:

    chats_think            the value of `enable_thinking`; left out if both values change nothing
    chats_keep_thoughts    false if only the dropping of earlier thoughts changes nothing; otherwise left out
    chats_unlike           true if all settings change the chats; otherwise left out
"""

from collections.abc import Mapping
from itertools import product
from typing import Any

QUESTION = {"role": "user", "content": "Where does the cat sleep?"}
ANSWER = {"role": "assistant", "content": "The cat sleeps on the stove."}
THOUGHTFUL = {**ANSWER, "reasoning_content": "Cats like warm places."}
NEXT = {"role": "user", "content": "And the dog?"}
CHATS = (
    [QUESTION],
    [{"role": "system", "content": "Answer in one sentence."}, QUESTION],
    [QUESTION, ANSWER, NEXT],
    # Many templates keep or drop the thoughts of earlier turns only if a client sends them back.
    [QUESTION, THOUGHTFUL, NEXT],
)

SETS = "llama-server sets enable_thinking in the chat template, and the source leaves it undefined"


def find_settings(tokenizer: Any) -> dict[str, bool]:
    """Return the facts on the template of a transformers tokenizer; empty if it has none.

    A chat that the source's template refuses is left out.
    """
    if not tokenizer.chat_template:
        return {}
    source = _render(tokenizer, {})
    alike = []
    # llama-server keeps thoughts by default, so that is tried first.
    for keep, think in product((True, False), (False, True)):
        served = _render(tokenizer, _variables(think, keep))
        if all(own is None or own == text for own, text in zip(source, served, strict=True)):
            alike.append((keep, think))
    if not alike:
        return {"chats_unlike": True}
    keeps = alike[0][0]
    thinks = [think for keep, think in alike if keep == keeps]
    facts = {"chats_think": thinks[0]} if len(thinks) == 1 else {}
    return facts if keeps else {**facts, "chats_keep_thoughts": False}


def notes_of_settings(facts: Mapping[str, Any]) -> list[str]:
    """Return sentences for the report on the facts of a file."""
    notes = []
    if isinstance(think := facts.get("chats_think"), bool):
        value, other = ("true", "false") if think else ("false", "true")
        notes.append(
            f"{SETS}, which this template takes for {value}. The report's llama-server lines set it to {value}; "
            f"for {other}, send chat_template_kwargs with a request."
        )
    if facts.get("chats_keep_thoughts") is False:
        notes.append(
            "llama-server tells the chat template to keep the thoughts of earlier turns, and this template then "
            "renders these turns differently from the source. The report's llama-server lines switch that off."
        )
    if facts.get("chats_unlike"):
        notes.append(
            f"{SETS}. This template renders chats differently with each value, so llama-server's chats are not those "
            "that were compared; use MLflow for chats."
        )
    return notes


def _variables(think: bool, keep: bool) -> dict[str, bool]:
    """Return what llama-server gives a template (common/chat.cpp, and caps_apply_preserve_reasoning in jinja/caps.cpp).

    think, keep: whether the model thinks, and whether the thoughts of earlier turns are kept.
    """
    drop = dict.fromkeys(("clear_thinking", "truncate_history_thinking", "drop_thinking"), not keep)
    return {"enable_thinking": think, "preserve_reasoning": keep, "preserve_thinking": keep, **drop}


def _render(tokenizer: Any, variables: Mapping[str, bool]) -> list[str | None]:
    """Return each chat as a prompt, None for one that the template refuses."""
    rendered: list[str | None] = []
    for chat in CHATS:
        try:
            text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, **variables)
        except Exception:  # a template raises any type
            text = None
        rendered.append(None if text is None else str(text))
    return rendered

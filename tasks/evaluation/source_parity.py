"""Writes what the source's own tokenizer and chat template give for the texts and chats of the parity checks."""

from collections.abc import Sequence
from typing import Any

from tasks.checkpoint.normalization import SPACE_MARK
from tasks.checkpoint.parity_texts import (
    WRITTEN,
    choose_tokens,
    generated_texts,
    special_token_texts,
    vocabulary_texts,
)
from tasks.engines.text_model import INCOMPLETE
from tasks.errors import Corrupt
from tasks.evaluation.reference_files import ChatCase, Chats, ParityCase, ParityTexts

_SYSTEM = {"role": "system", "content": "You are a careful clerk. Answer in one sentence."}
_ASK = {"role": "user", "content": "Where does the cat sleep?"}
_SAY = {"role": "assistant", "content": "The cat sleeps on the stove."}
_AGAIN = {"role": "user", "content": "And the dog?"}
_ODD = {"role": "user", "content": "  Zażółć 👩‍👩‍👧‍👦 日本語\n\n<b>{{ 1 + 1 }}</b> {% raw %} 'q' \"d\"  "}

CHATS: dict[str, tuple[list[dict[str, str]], bool]] = {
    "one question": ([_ASK], True),
    "one exchange": ([_ASK, _SAY], False),
    "several turns": ([_ASK, _SAY, _AGAIN], True),
    "system message": ([_SYSTEM, _ASK], True),
    "system message, several turns": ([_SYSTEM, _ASK, _SAY, _AGAIN, _SAY], False),
    "odd characters": ([_ODD], True),
    "odd characters, several turns": ([_ODD, _SAY, _ODD], True),
    "empty message": ([{"role": "user", "content": ""}], True),
    "long message": ([{"role": "user", "content": "word " * 500}], True),
}


def cut_texts(tokenizer: Any, rows: int) -> ParityTexts:
    """Return every parity text with the ids of a transformers tokenizer: special tokens parsed, none added.

    rows: the number of tokens that the model can read.
    """
    texts = {
        **WRITTEN,
        **special_token_texts(special_tokens(tokenizer, rows)),
        **generated_texts(),
        **vocabulary_texts(ordinary_texts(tokenizer, rows)),
    }
    ids = {text: tuple(tokenizer.encode(text, add_special_tokens=False)) for text in ("a b", f"a{SPACE_MARK}b")}
    return ParityTexts(
        cases=tuple(
            ParityCase(name=name, text=text, token_ids=tuple(tokenizer.encode(text, add_special_tokens=False)))
            for name, text in texts.items()
        ),
        space_mark=len(set(ids.values())) == 1,
    )


def render_chats(tokenizer: Any) -> Chats | None:
    """Return the chats that the tokenizer's template accepts, or None where it has no template.

    Raises Corrupt where it has one and renders nothing at all.
    """
    if not tokenizer.chat_template:
        return None
    cases = []
    refusal = ""
    for name, (messages, add_generation_prompt) in CHATS.items():
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
        except Exception as error:  # a template raises any type
            # Templates refuse what their model does not know, such as a system message.
            refusal = str(error)
        else:
            cases.append(
                ChatCase(name=name, messages=tuple(messages), add_generation_prompt=add_generation_prompt, text=text)
            )
    if not cases:
        raise Corrupt(f"The source's chat template renders no chat ({refusal}); check its chat_template.")
    return Chats(dated="strftime_now" in str(tokenizer.chat_template), cases=tuple(cases))


def special_tokens(tokenizer: Any, rows: int) -> Sequence[str]:
    """Return texts of the tokenizer's special and added tokens, those with a role first, as `choose_tokens` takes them.

    rows: the number of tokens that the model can read. Gemma 3's tokenizer has one more, for images, which no engine
    can read.
    """
    tokens = [token for number, token in sorted(tokenizer.added_tokens_decoder.items()) if number < rows]
    added = {
        token.content: (token.lstrip, token.rstrip, token.single_word, token.normalized, token.special)
        for token in tokens
    }
    named = [token for token in tokenizer.all_special_tokens if token in added]
    return choose_tokens({token: added[token] for token in (*named, *added)})


def ordinary_texts(tokenizer: Any, rows: int) -> list[str]:
    """Return the text of each token that is neither special nor added, in the order of ids.

    Left out are tokens that are part of a character, and those with a NUL: several engines take C strings.

    rows: the number of tokens that the model can read.
    """
    added = tokenizer.added_tokens_decoder
    ids = [token for token in sorted(set(tokenizer.get_vocab().values())) if token not in added and token < rows]

    def decoded(*before: int) -> list[str]:
        found: list[str] = tokenizer.batch_decode(
            [[*before, token] for token in ids], clean_up_tokenization_spaces=False
        )
        return found

    def is_whole(text: str) -> bool:
        return bool(text) and INCOMPLETE not in text and "\0" not in text

    alone = decoded()
    # Many decoders drop the space before the first token of a text, so each token stands behind another one.
    first = next((place for place, text in enumerate(alone) if is_whole(text) and text.isalpha()), None)
    if first is None:
        return [text for text in alone if is_whole(text)]
    behind, before = decoded(ids[first]), alone[first]
    return [text.removeprefix(before) for text in behind if text.startswith(before) and is_whole(text[len(before) :])]

"""One document, and its line in a JSON Lines file."""

import json
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Document:
    """A text, with one question in it where it has a right answer.

    `text` starts with `prompt` and goes on with `answer`; `choices` are the values that the answer was drawn from, so
    that guessing is right once in `len(choices)`. `phrasings` and `facts` say what the text was made of; they are there
    for tests of the splits and are not written.
    """

    id: str
    kind: str
    text: str
    prompt: str = ""
    answer: str = ""
    choices: tuple[str, ...] = ()
    phrasings: frozenset[tuple[str, str]] = field(default=frozenset(), compare=False)
    facts: frozenset[tuple[str, ...]] = field(default=frozenset(), compare=False)

    def line(self) -> str:
        """Give the document as one JSON object with a line feed; keys without a value are left out."""
        record: dict[str, object] = {"id": self.id, "kind": self.kind, "text": self.text}
        if self.answer:
            record |= {"prompt": self.prompt, "answer": self.answer, "choices": list(self.choices)}
        return json.dumps(record, ensure_ascii=False) + "\n"

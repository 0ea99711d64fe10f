"""What the consumers ask, and the form of the answers they are compared with."""

from dataclasses import dataclass

from tasks.engines.mlmodel import EXAMPLE_PROMPT

TARGETS = ("gguf-q4_k_m", "onnx-fp32", "onnx-int8", "safetensors-bf16")
PROMPTS = [
    EXAMPLE_PROMPT,
    "Mira keeps the lantern in the attic. Tam keeps the map in the barn.\nWhere is the lantern? It is in the",
    "def area(width, height):\n",
    "Вот эта свеча: она красная. 你好 🙂",
    "<|im_start|>user\nHello! It is Thursday.<|im_end|>\n<|im_start|>assistant\n",
]
MESSAGES = [
    {"role": "user", "content": "Hello! It is Thursday."},
    {"role": "assistant", "content": "Good morning."},
    {"role": "user", "content": "Where is the lantern — in the attic?"},
]


@dataclass(frozen=True)
class Said:
    """What a runner says: greedy ids of at most 64 tokens after each prompt, their texts, and those of the first 16.

    chat, chat_ids: MESSAGES by the artifact's template, and the ids of that; answer, answer_ids: what it says then.
    """

    ids: list[list[int]]
    texts: list[str]
    short: list[str]
    chat: str
    chat_ids: list[int]
    answer: str
    answer_ids: list[int]

    @property
    def stop(self) -> str:
        """Some characters in the middle of the first text."""
        middle = len(self.texts[0]) // 2
        return self.texts[0][middle : middle + 4]

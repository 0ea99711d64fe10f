"""Every pre-tokenizer that the table maps to cuts text as the source's does, in llama.cpp itself."""

import random
from pathlib import Path
from typing import cast

import pytest

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("llama_cpp")

from tasks.checkpoint.parity_texts import WRITTEN, generated_texts
from tasks.engines.runner import Runner
from tasks.evaluation.measurement import Measurement
from tasks.evaluation.parity import cut_texts, tokenizer_parity
from tasks.evaluation.reference_files import ParityCase, ParityTexts
from tasks.formats.gguf.pretokenizer import KNOWN
from tests.fixtures.byte_bpe import train
from tests.tasks.formats.gguf.vocabulary import LlamaVocabulary

pytestmark = pytest.mark.runtime("llama-cpp")

UGLY = [
    "",
    " ",
    "\n\n \t\t\r\n  x",
    "They'll say I'm SURE you'Re 'told; WE'VE l'été, o'clock 'S 'd",
    "3 33 333 3333 33333 3.3 1,234,567 ½ Ⅷ ١٢٣ 一二三 2️⃣",
    "naïve café e\u0301 a\u0308 Zalgo z\u0336\u0300 ﬁ ß İstanbul ǅ",
    "नमस्ते दुनिया ไทย ភាសាខ្មែរ العربية עִבְרִית 日本語テスト 한국어",
    "🚀 👩‍👩‍👧 🇩🇪 😶‍🌫️ ✅",
    "def f(x):\n\treturn {'a': [x ** 2, -1]}  # ~`|\\^_\n",
    "a\u00a0b\u2003c\u3000d\u200be\ufefff\u2028g",
    "------======!!!???...…—„“”«»¿¡$€£+<=>",
    "  leading and trailing  ",
]
ALPHABET = " \n\t\r'sStTlLdDmMrReEvV019aZé.,!?-_$\u0301ßЖ日अि🚀\u200d½\u00a0กุ"


def scrambled(seed: str, count: int) -> list[str]:
    """Return short texts of characters on which pre-tokenizers differ."""
    generator = random.Random(seed)
    return ["".join(generator.choices(ALPHABET, k=generator.randint(1, 24))) for _ in range(count)]


def differing(source: str, engine: str, path: Path) -> list[str]:
    """Return the texts that the tokenizer of one pre-tokenizer and llama.cpp's other one cut differently."""
    tokenizer = train(source, 1200, scrambled("training", 2000))
    vocabulary = LlamaVocabulary(tokenizer, engine, path)
    return [text for text in UGLY + scrambled("test", 1500) if vocabulary.tokenize(text) != tokenizer.encode(text).ids]


@pytest.mark.parametrize("name", sorted(KNOWN.values()))
def test_llama_cpp_cuts_as_the_source_does(name: str, tmp_path: Path) -> None:
    wrong = differing(name, name, tmp_path / "vocabulary.gguf")
    assert not wrong, f"{len(wrong)} texts, first {wrong[0]!r}"


@pytest.mark.parametrize("engine", ["smaug-bpe", "gpt-2", "qwen35", "ufakzeka"])
def test_a_pre_tokenizer_that_is_almost_right_is_caught(engine: str, tmp_path: Path) -> None:
    """Caught by the metric that the gates bind, on the texts that an evaluation takes."""
    parity, notes = measured_parity("qwen2", engine, tmp_path / "vocabulary.gguf")
    assert parity.value < 1 and notes[1].startswith("Tokenizer, text ")
    assert parity.observations == len(WRITTEN) + len(generated_texts())


def test_the_right_pre_tokenizer_has_full_parity(tmp_path: Path) -> None:
    parity, notes = measured_parity("qwen2", "qwen2", tmp_path / "vocabulary.gguf")
    assert (parity.value, notes) == (1.0, [])


def measured_parity(source: str, engine: str, path: Path) -> tuple[Measurement, list[str]]:
    """Return what `evaluate` measures of a source with one pre-tokenizer and an artifact with another."""
    tokenizer = train(source, 1200, scrambled("training", 2000))
    texts = {**WRITTEN, **generated_texts()}
    cases = tuple(
        ParityCase(name=name, text=text, token_ids=tuple(tokenizer.encode(text).ids)) for name, text in texts.items()
    )
    runner = cast(Runner, LlamaVocabulary(tokenizer, engine, path))
    return tokenizer_parity(cut_texts(runner, ParityTexts(cases=cases, space_mark=False)))

"""tokenizer.json: which of llama.cpp's pre-tokenizers cuts text as its patterns do, or why none."""

from pathlib import Path

from tasks.formats.gguf.pretokenizer import GPT2, KNOWN, LLAMA3, QWEN2, caveats_of_hash, find_candidate
from tests.fuzz.target import Target

LONGEST_CLAUSE = 1000


def parse(data: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(data)
    candidate = find_candidate(folder)
    if candidate:
        assert bool(caveats_of_hash(candidate, "gpt-2")) != bool(candidate.name)
    if candidate and candidate.name:
        assert candidate.name in KNOWN.values() and not candidate.reason
    elif candidate:
        # It becomes an argument of a program, and a part of a sentence.
        assert candidate.reason.isprintable() and 0 < len(candidate.reason) < LONGEST_CLAUSE


TARGET = Target(
    parse=parse,
    measured={"tasks/formats/gguf/pretokenizer.py": []},
    runs=20_000,
    floor=100,
    json=True,
    words=(
        *('"Sequence"', '"pretokenizers"', '"Split"', '"ByteLevel"', '"Digits"', '"Regex"', '"Isolated"', '"Removed"'),
        *('"ignore_merges"', '"byte_fallback"', '"add_prefix_space"', '"use_regex"', '"individual_digits"', '"NFC"'),
        *(GPT2, LLAMA3, QWEN2),
    ),
)

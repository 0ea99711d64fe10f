"""The edge cases on which tokenizers are compared: texts that break pre-tokenizers, normalizers and byte fallbacks.

Some texts are written by hand, one for each kind of problem. A seeded generator mixes these kinds in the others.
"""

import random
import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Literal

GENERATED = 1000
GENERATOR_SEED = 20260102

SPECIAL_TOKENS = 32
"""Special tokens in texts at most: many models have hundreds of reserved ones, which differ in nothing but a number."""

WORDS = 64
"""Tokens whose texts are in one text: few, so that a mismatch names them; a vocabulary of 262,000 gives 4,096 texts."""

WRITTEN = {
    "empty": "",
    "one space": " ",
    "spaces": "a  b   c    d\t\te \t f",
    "trailing space": "the end ",
    "leading space": "   the start",
    "line ends": "one\ntwo\r\nthree\rfour\n\n\nfive\n \n six\n",
    "odd spaces": "no\u00a0break thin\u2009space ideographic\u3000space zero\u200bwidth line\u2028separator\u0085next",
    "indentation": "def f(x):\n    if x:\n        return x\n\treturn None\n",
    "code": 'int main(void) { char *s = "a\\n\\t\\"b\\""; for (;;) { s++; } /* 0xFF */ return !(s == 0); }',
    "markup": '<div class="a b">&amp;&nbsp;<br/></div><!-- <|not a token|> -->',
    "json": '{"k": [1, 2.5e-10, null, true], "nested": {"\\u00e9": "\\\\"}}',
    "urls": "https://example.org:8080/a/b?c=d&e=%20f#g mailto:someone@example.org file:///srv/x.tar.gz",
    "numbers": "0 1 12 123 1234 12345 123456 1234567 3.14159 1,000,000 1e-9 0x1F \u0661\u0662\u0663 \u2160 \u00bd",
    "apostrophes": "it's we'll I'd they've you're I'm don't IT'S WE'LL \u2019tis rock'n'roll ''quoted''",
    "punctuation": "...!!!???---___***((([[[{{{}}}]]])))<<<>>>~~~```\"\"\"'''\\\\\\///",
    "latin": "Zażółć gęślą jaźń; Příliš žluťoučký kůň; Falsches Üben von Xylophonmusik quält; çœur, naïve, Ångström",
    "decomposed": "Cafe\u0301 nai\u0308ve A\u030angstro\u0308m Z\u030c\u0323\u0301",
    "combining marks": "a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307 \u0301alone e\u20dd",
    "ligatures": "\ufb01ne \ufb02ow \ufb03 \u0132 \u01c4 \u2122 \u2126 \u212b",
    "fullwidth": "\uff28\uff45\uff4c\uff4c\uff4f\u3000\uff11\uff12\uff13",
    "greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία; ΟΔΟΣ οδός",
    "cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак ґанок",
    "arabic": "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ \u0640\u0640\u0640 ١٢٣",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה שָׁלוֹם",
    "devanagari": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का क्षत्रिय",
    "thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน",
    "tamil": "யாமறிந்த மொழிகளிலே தமிழ்மொழி போல்",
    "chinese": "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。㐀㐁𠀀𠀁",
    "japanese": "いろはにほへと ちりぬるを。カタカナ ｶﾀｶﾅ ﾊﾟ 日本語、です！",
    "korean": "키스의 고유조건은 입술끼리 만나야 하고 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "emoji": "😀😃 🎉🔥 ❤️ ☺ ☺️ 👍🏽 👍🏿 1️⃣ #️⃣",
    "joined emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🏴‍☠️ 👨🏽‍💻 🇵🇱🇯🇵🇩🇪",
    "flags of regions": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "mathematics": "∀ε>0 ∃δ: |x−a|<δ ⇒ ∑ᵢ₌₁ⁿ xᵢ² ≤ ∫₀^∞ e^{−t²}dt ≈ √π⁄2; 𝔸𝕓𝒞𝖉",
    "arrows and boxes": "←↑→↓ ┌─┬─┐ █▓▒░ ★☆ ¶ § † ‡",
    "control characters": "bell\x07 escape\x1b[31m backspace\x08 delete\x7f unit\x1f c1\x9b",
    "direction marks": "left\u200eright\u200f \u202aembedded\u202c \u2066isolated\u2069 soft\u00adhyphen",
    "byte order mark": "\ufeffstart and\ufeffmiddle",
    "replacement": "\ufffd private \ue000 \uf8ff noncharacter \ufdd0",
    "long run": "a" * 300,
    "long run of spaces": "x" + " " * 130 + "y",
    "long run of lines": "x" + "\n" * 70 + "y",
    "long word": "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 3,
    "mixed case": "camelCaseAndPascalCase SCREAMING_SNAKE kebab-case HTTPServer2XMLParser iPhone15Pro",
    "sentencepiece marks": "a\u2581b \u2581\u2581c <0x0A> <0xE2><0x96><0x81> <unk> <s> </s>",
    "byte-level marks": "ĠhelloĊ Ċ ĉ âĢĻ Ã©",
}
"""A text per kind of trouble. A NUL is left out: several engines take C strings, and no text of a user has one."""

Kind = Literal["ASCII", "the model's own vocabulary", "other scripts and edge cases", "special tokens"]
"""What a parity text tries. The vocabulary stands for the languages that the model knows."""

_RANGES = (
    (0x20, 0x7E),
    (0xA1, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x3FF),
    (0x400, 0x52F),
    (0x5D0, 0x5EA),
    (0x620, 0x669),
    (0x900, 0x97F),
    (0xE01, 0xE5B),
    (0x1100, 0x11FF),
    (0x1E00, 0x1FFF),
    (0x2010, 0x205E),
    (0x2190, 0x22FF),
    (0x2500, 0x27BF),
    (0x3041, 0x30FF),
    (0x4E00, 0x9FA5),
    (0xAC00, 0xD7A3),
    (0xFF01, 0xFF9F),
    (0x1D400, 0x1D7FF),
    (0x1F300, 0x1F64F),
)
_SPACES = (" ", "  ", "    ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000")
_JOINERS = ("\u200d", "\ufe0f", "\u200c", "'", "\u2019", "-", "_", ".", "/")


def choose_tokens(flags: Mapping[str, Hashable]) -> list[str]:
    """Return the texts of SPECIAL_TOKENS tokens at most, in their order: those with flags of their own before others.

    flags: what decides where an added or special token is found, such as the spaces that it takes in, by its text.
    """
    first: dict[Hashable, str] = {}
    for text, kind in flags.items():
        first.setdefault(kind, text)
    chosen = list(dict.fromkeys([*first.values(), *flags]))[:SPECIAL_TOKENS]
    return [text for text in flags if text in chosen]


def special_token_texts(special_tokens: Sequence[str]) -> dict[str, str]:
    """Return texts with the model's own special tokens: alone, in a row, within words, after spaces, cut in two."""
    texts = {}
    for token in special_tokens:
        texts[f"special token {token}"] = f"before{token}after {token} {token}{token}\n{token}"
        texts[f"half a special token {token}"] = f"{token[:-1]} {token[1:]}"
    if special_tokens:
        texts["all special tokens"] = "".join(special_tokens[:64])
    return texts


def vocabulary_texts(words: Sequence[str]) -> dict[str, str]:
    """Return texts that contain the texts of all tokens, WORDS of them each, a line for each token.

    Texts that people wrote leave most of a large vocabulary unused, and with it most merges.
    """
    starts = range(0, len(words), WORDS)
    return {f"vocabulary from {start}": "\n".join(words[start : start + WORDS]) for start in starts}


def kind_of(name: str, text: str) -> Kind:
    """Return the kind of a parity text, by its name and its characters."""
    if "special token" in name:
        return "special tokens"
    if name.startswith("vocabulary from "):
        return "the model's own vocabulary"
    return "ASCII" if text.isascii() else "other scripts and edge cases"


def generated_texts() -> dict[str, str]:
    """Return GENERATED strings, the same ones at every call."""
    source = random.Random(GENERATOR_SEED)  # noqa: S311  # repeatable, no secret
    return {f"generated {number}": _draw(source) for number in range(GENERATED)}


def _draw(source: random.Random) -> str:
    pieces = []
    for _ in range(source.randint(1, 12)):
        kind = source.random()
        if kind < 0.45:
            pieces.append(_word(source))
        elif kind < 0.60:
            pieces.append(source.choice(_SPACES) * source.randint(1, 3))
        elif kind < 0.70:
            pieces.append(str(source.randint(0, 10 ** source.randint(1, 12))))
        elif kind < 0.80:
            pieces.append(source.choice(_JOINERS))
        else:
            written = source.choice(list(WRITTEN.values()))
            start = source.randrange(len(written) + 1)
            pieces.append(written[start : start + source.randint(1, 12)])
    return "".join(pieces)


def _word(source: random.Random) -> str:
    characters = _assigned(source.choice(_RANGES))
    return "".join(source.choice(characters) for _ in range(source.randint(1, 8)))


@cache
def _assigned(span: tuple[int, int]) -> tuple[str, ...]:
    """Return a range's characters that Unicode has given a meaning: libraries of unlike age differ on the others."""
    return tuple(chr(code) for code in range(span[0], span[1] + 1) if unicodedata.category(chr(code)) != "Cn")

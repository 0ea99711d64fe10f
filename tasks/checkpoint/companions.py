"""Which files of a repository are the model, by groups: weights, configuration, tokenizer, chat template, notices.

This is the only list of them. `fetch` takes these files, keys cover them, and formats copy those that travel with their
weights. A file that one place knows and another does not would be fetched and used, and yet be in no key.

Patterns are globs of paths below a snapshot's root; in `is_companion` a `*` matches no slash, except in NOTICES.
"""

import re
import shutil
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")
"""The weights. An index may give its shards any name with one of these endings."""

CONFIGURATION = ("config.json", "generation_config.json")

SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
"""Tokenizers of the library of that name, under the names that families give them."""

TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.tiktoken",
    *SENTENCEPIECE,
)

TEMPLATE = ("chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja")

NOTICE_WORDS = (
    "licen?e",
    "copying",
    "copyright",
    "notice",
    "use?policy",
    "terms",
    "agreement",
    "eula",
    "legal",
    "patent",
    "disclaimer",
)
NOTICES = tuple(
    "*" + "".join(f"[{sign.upper()}{sign}]" if sign.isalpha() else sign for sign in word) + "*" for word in NOTICE_WORDS
)
"""Licence and notices, which must travel with the weights and with everything that is made of them.

Publishers name them as they like (MODEL_LICENSE, license.md, Gemma_Terms.txt, LICENSES/MIT.txt), so the patterns match
in any case and in any folder. Keys match paths by these patterns alone; `is_notice` is narrower.
"""

NOTICE = re.compile(
    r"(?<![a-z])((un|(third.?party.?))?licen[cs]es?|copying|copyrights?|(third.?party.?)?notices?"
    r"|use.policy|terms|agreements?|eulas?|disclaimers?)(?![a-z])"
    r"|(?<![^/])(legal|patents?)(\.[^/]*)?$"
)
"""The same words as whole words, in lower case: midterms.txt and noticed.md are no notices.

Some models are about law, so "legal" and "patents" must be a file's whole name: legal-questions.md is no notice.
"""

PROSE = re.compile(r"|\.([0-9].*|adoc|asciidoc|docx?|html?|markdown|mdx?|odt|org|pdf|ps|rst|rtf|tex|txt|xhtml)")
"""Endings of texts for people, in lower case. A part of a version is no ending: LICENSE-2.0, Llama-3.1-LICENSE."""

LICENCE = re.compile(r"(.*[^a-z])?((un|third.?party.?)?licen[cs]es?|copying|copyrights?|(third.?party.?)?notices?)")
"""What stands before the name of a licence that looks like an ending: LICENSE.GPL, COPYING.LESSER, LICENSE.llama2."""

NO_PROSE = re.compile(
    r"\.("
    # Weights
    r"bin|ckpt|data|engine|ggml|gguf|h5|joblib|keras|mlmodel|model|msgpack|np[yz]|onnx|onnx_data|pb|pickle|pkl|pth?"
    r"|safetensors|tflite"
    # Code
    r"|bat|cc?|cpp|cs|cu|dll|exe|go|h|ipynb|jar|java|jinja|js|lua|pl|ps1|pyc?|r|rb|rs|sh|so|swift|ts|wasm|whl"
    # Archives
    r"|7z|bz2|gz|rar|tar|tgz|xz|zip|zst"
    # Data, settings and media
    r"|arrow|cfg|csv|db|gif|ini|jpe?g|jsonl?|3gp|mp[34]|parquet|png|sqlite|svg|tiff|tiktoken|toml|tsv|wav|webp|xlsx|xml|ya?ml"
    r")"
)
"""Endings of files that are never taken for a licence, whatever names them one, in lower case."""

LINKED = "linked-licence"
"""The folder of a snapshot for the file that the card's `license_link` names, if its own name does not match."""

MODEL = (*WEIGHTS, *CONFIGURATION, *TOKENIZER, *TEMPLATE)
"""All that a library reads to run the model."""

COMPANIONS = (*CONFIGURATION, *TOKENIZER, *TEMPLATE, *NOTICES)
"""All that travels with a model's weights."""


def is_companion(path: str, patterns: Iterable[str] = COMPANIONS) -> bool:
    """Whether a path below a snapshot's root matches one of the patterns; those of NOTICES match in any folder."""
    # A `*` of fnmatch also matches a slash.
    return any(
        fnmatchcase(path, pattern)
        and (is_notice(path) if pattern in NOTICES else path.count("/") == pattern.count("/"))
        for pattern in patterns
    )


def is_notice(path: str) -> bool:
    """Whether a path is that of a licence or a notice: it has one of the words, and its ending is that of a text."""
    if path.startswith(f"{LINKED}/"):
        return may_be_prose(path)
    # LicenseAgreement.pdf is of two words.
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path).lower()
    return _is_prose(path) and NOTICE.search(parted) is not None


def _is_prose(path: str) -> bool:
    """Whether a file is a text for people, by its ending or by the name of a licence in place of one."""
    name = Path(path.lower())
    named = PROSE.fullmatch(name.suffix) or LICENCE.fullmatch(name.stem) or NOTICE.search(name.suffix)
    return named is not None and may_be_prose(path)


def may_be_prose(path: str) -> bool:
    """Whether a file that something else names as a licence may be one: it has no ending of code, weights or data."""
    return NO_PROSE.fullmatch(Path(path).suffix.lower()) is None


def copy_companions(source: Path, output: Path, patterns: Iterable[str] = COMPANIONS) -> list[str]:
    """Copy every file of `source` that matches into `output`; return their paths below it, sorted."""
    copied = []
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and is_companion(name, patterns):
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, output / name)
            copied.append(name)
    return copied

"""A build's digest follows everything that decides what it computes."""

import pytest

from deploy.setup.errors import SetupError
from deploy.setup.native.llama_cpp import flags as llama_flags

MACROS = ["#define __AVX2__ 1\n#define __VERSION__ 12", "#define __AVX2__ 1"]


def test_digest_follows_version_flags_compiler_and_processor() -> None:
    flags = {"GGML_NATIVE": "ON"}
    digests = {
        llama_flags.digest_of("1.0", flags, MACROS),
        llama_flags.digest_of("1.1", flags, MACROS),
        llama_flags.digest_of("1.0", {"GGML_NATIVE": "OFF"}, MACROS),
        llama_flags.digest_of("1.0", flags, [MACROS[0].replace("12", "13"), MACROS[1]]),
        llama_flags.digest_of("1.0", flags, [MACROS[0].replace("AVX2", "AVX512F"), MACROS[1]]),
    }
    assert len(digests) == 5


def test_order_of_flags_does_not_matter() -> None:
    one, other = {"A": "1", "B": "2"}, {"B": "2", "A": "1"}
    assert llama_flags.digest_of("1.0", one, MACROS) == llama_flags.digest_of("1.0", other, MACROS)


def test_real_compiler_tells_its_version_and_processor() -> None:
    macros = llama_flags.predefined_macros("c++", "c++")
    assert "#define __VERSION__" in macros
    assert macros == llama_flags.predefined_macros("c++", "c++")
    assert macros != llama_flags.predefined_macros("cc", "c")


def test_named_compiler_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    before = llama_flags.build_digest("1.0")
    monkeypatch.setenv("CXX", "c++ -DOTHER")
    assert llama_flags.build_digest("1.0") != before


def test_missing_compiler_is_named_with_a_remedy() -> None:
    with pytest.raises(SetupError, match=r"no C compiler 'absent-cc'.*apt-get install build-essential"):
        llama_flags.predefined_macros("absent-cc", "c")


def test_compiler_that_cannot_says_why() -> None:
    with pytest.raises(SetupError, match=r"cannot compile for this processor.*CC and CXX"):
        llama_flags.predefined_macros("c++ --no-such-option", "c++")

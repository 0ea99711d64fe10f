"""A build's digest follows everything that decides what it computes."""

import platform
from pathlib import Path

import pytest

from deploy.setup.errors import SetupError
from deploy.setup.native.llama_cpp import flags as llama_flags

MACROS = ["#define __AVX2__ 1\n#define __VERSION__ 12", "#define __AVX2__ 1"]


KINDS = ("haswell", "icelake")


def test_digest_follows_version_flags_kinds_and_compiler() -> None:
    flags = {"GGML_CPU_ALL_VARIANTS": "ON"}
    digests = {
        llama_flags.digest_of("1.0", flags, KINDS, MACROS),
        llama_flags.digest_of("1.1", flags, KINDS, MACROS),
        llama_flags.digest_of("1.0", {"GGML_CPU_ALL_VARIANTS": "OFF"}, KINDS, MACROS),
        llama_flags.digest_of("1.0", flags, KINDS[:1], MACROS),
        llama_flags.digest_of("1.0", flags, KINDS, [MACROS[0].replace("12", "13"), MACROS[1]]),
        llama_flags.digest_of("1.0", flags, KINDS, [MACROS[0].replace("AVX2", "AVX512F"), MACROS[1]]),
    }
    assert len(digests) == 6


def test_order_of_flags_does_not_matter() -> None:
    one, other = {"A": "1", "B": "2"}, {"B": "2", "A": "1"}
    assert llama_flags.digest_of("1.0", one, KINDS, MACROS) == llama_flags.digest_of("1.0", other, KINDS, MACROS)


def test_real_compiler_tells_its_version_and_architecture() -> None:
    macros = llama_flags.predefined_macros("c++", "c++")
    assert "#define __VERSION__" in macros
    assert f"#define __{platform.machine()}__ 1" in macros
    assert macros == llama_flags.predefined_macros("c++", "c++")
    assert macros != llama_flags.predefined_macros("cc", "c")


PLAYED = """#!/bin/sh
echo '#define __VERSION__ "1"'
for word in "$@"; do case "$word" in *native*) echo "#define __AVX$PROCESSOR__ 1";; esac; done
"""


def test_digest_is_the_same_on_every_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release may be made on several hosts, and a build's digest is in its keys."""
    compiler = tmp_path / "compiler"
    compiler.write_text(PLAYED.replace("$PROCESSOR__", "${PROCESSOR}__"))
    compiler.chmod(0o755)
    for variable in ("CC", "CXX"):
        monkeypatch.setenv(variable, str(compiler))
    digests = set()
    for processor in ("2", "512F"):
        monkeypatch.setenv("PROCESSOR", processor)
        digests.add(llama_flags.build_digest("1.0"))
    assert len(digests) == 1
    assert llama_flags.FLAGS["GGML_NATIVE"] == "OFF"


def test_digest_follows_the_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for machine in llama_flags.VARIANTS:
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        digests.add(llama_flags.build_digest("1.0"))
    assert len(digests) == len(llama_flags.VARIANTS) == len(llama_flags.NEEDED)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SetupError, match=r"built for x86_64 and aarch64, and this machine is riscv64"):
        llama_flags.variants()


def test_a_processor_without_the_instructions_is_told_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llama_flags.check_processor()
    for machine, has, missing in (
        ("x86_64", "flags : sse4_2 avx bmi2 f16c", "avx2, fma"),
        ("aarch64", "Features : fp", "asimddp"),
    ):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{has}\n")
        with pytest.raises(SetupError, match=rf"lacks instructions that llama\.cpp is built with here \({missing}\)"):
            llama_flags.check_processor(tmp_path / "cpuinfo")


def test_named_compiler_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    before = llama_flags.build_digest("1.0")
    monkeypatch.setenv("CXX", "c++ -DOTHER")
    assert llama_flags.build_digest("1.0") != before


def test_missing_compiler_is_named_with_a_remedy() -> None:
    with pytest.raises(SetupError, match=r"no C compiler 'absent-cc'.*apt-get install build-essential"):
        llama_flags.predefined_macros("absent-cc", "c")


def test_compiler_that_cannot_says_why() -> None:
    with pytest.raises(SetupError, match=r"does not work \(.*no-such-option.*CC and CXX"):
        llama_flags.predefined_macros("c++ --no-such-option", "c++")

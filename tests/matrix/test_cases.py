"""The table is sound: every row can be run, and every format, engine and architecture of it has one."""

from pathlib import Path

import pytest

from tasks.formats.registry import FORMATS, load_format, parse_target
from tests.matrix.cases import Case, all_cases, all_refused, architectures, cases_of, parse, selected

CASES = all_cases()


def test_every_row_names_what_is_there_and_is_there_once() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)
    assert {case.arch for case in CASES} == set(architectures())
    for case in CASES:
        assert case.parsed.servable, case
        assert case.opened_by.name == case.engine
        assert 0 < case.kld_mean < 1


def test_every_format_and_each_of_its_engines_has_a_row() -> None:
    wanted = {(name, engine.name) for name in FORMATS for engine in load_format(name).engines}
    assert {(case.format.name, case.engine) for case in CASES} == wanted


def test_every_row_is_run_in_the_runtime_of_its_engine() -> None:
    runtimes = {case.opened_by.runtime for case in CASES}
    files = {path.stem for path in Path(__file__).parent.glob("test_in_*.py")}
    assert files == {f"test_in_{runtime.replace('-', '_')}" for runtime in runtimes}
    assert sum(len(cases_of(runtime)) for runtime in runtimes) == len(CASES)


def test_an_expression_selects_by_patterns() -> None:
    case = Case("llama", "gguf-q8_0", "llama.cpp", 0.1)
    assert selected(case, "arch=llama and target=gguf-*")
    assert selected(case, "engine = llama.cpp")
    assert not selected(case, "arch=llama and target=onnx-*")
    for wrong in ("llama", "format=gguf", "arch=llama and", ""):
        with pytest.raises(ValueError, match="write FIELD=PATTERN"):
            parse(wrong)


def test_what_is_refused_is_no_row_and_is_there_once() -> None:
    refused = refusals()
    assert len(set(refused)) == len(refused)
    assert {arch for arch, _ in refused} <= set(architectures())
    assert not set(refused) & {(case.arch, case.target) for case in CASES}


def test_every_architecture_has_a_row_or_a_refusal_for_every_format() -> None:
    has = {(case.arch, case.format.name) for case in CASES}
    has |= {
        (arch, parse_target(target).format)
        for row in all_refused()
        for arch in row.architectures
        for target in row.targets
    }
    assert {(arch, name) for arch in architectures() for name in FORMATS} - has == set()


def refusals() -> list[tuple[str, str]]:
    """Return (architecture, target) of what the plan refuses."""
    return [(arch, target) for row in all_refused() for arch in row.architectures for target in row.targets]

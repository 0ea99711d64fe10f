"""Every native tool that a runtime declares is found by its name, and has the parts that are declared."""

import pytest

from deploy.setup import runtimes
from deploy.setup.native import registry
from deploy.setup.requirements import requirement_lines
from tasks.runtime_declaration import NativeNeed

NEEDS = [(name, need) for name in runtimes.names() for need in runtimes.declaration(name).native]


@pytest.mark.parametrize(("name", "need"), NEEDS, ids=[f"{name}-{need.tool}" for name, need in NEEDS])
def test_what_a_runtime_needs_can_be_built(name: str, need: NativeNeed) -> None:
    assert set(need.parts) <= set(registry.builder(need.tool).PARTS)
    if need.bindings:
        assert callable(registry.bindings(need.tool).install)


@pytest.mark.parametrize("tool", registry.tools())
def test_a_tool_says_what_it_is_made_from_and_some_runtime_needs_it(tool: str) -> None:
    assert all(
        "==" in line and "--hash=sha256:" in line for line in requirement_lines(registry.source_file(tool).read_text())
    )
    assert tool in {need.tool for _, need in NEEDS}

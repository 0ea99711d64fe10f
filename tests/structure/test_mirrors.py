"""Tests mirror the product: a test file is named after a module, and every module has a test.

`tests/tasks/store/test_cache.py`, or `test_cache_ASPECT.py`, tests `tasks/store/cache.py`. A module without such a file
is imported by a test of the mirrored folder, or stands in TESTED_BY.
"""

import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from tasks.settings import REPOSITORY
from tests.structure.imports import imports, modules
from tests.structure.mirrors import TOPS, direct, dotted, files, mirrored_modules, modules_of

OF_NO_MODULE = {
    "tests/deploy/demo/test_checkpoint.py": "the committed demo model",
    "tests/deploy/local/test_closed.py": "the running stack as a whole",
    "tests/operators/test_injection.py": "every place where a person's or publisher's text ends",
    "tests/operators/test_parsing.py": "what Airflow does with all DAG files",
    "tests/tasks/release/test_words.py": "small texts of several modules",
}
"""Test files that test more than a module, and what that is."""

WITHOUT_A_TEST = {
    "deploy/demo/card.py": "it made the committed demo model's card",
    "deploy/demo/measure.py": "it measured the figures of that card",
    "deploy/demo/train.py": "it trained the committed demo model, which test_checkpoint.py checks",
}
"""Modules that nothing runs but a person, once, and what they are for."""

TESTED_BY = {
    # Sentences from which the demo model's text is generated.
    "deploy/demo/corpus/*": "tests/deploy/demo/corpus/test_generate.py",
    # Starts the stack and waits; every test of a stack begins with it.
    "deploy/local/__main__.py": "tests/integration/test_whole_release.py",
    # It installs what was compiled into an environment.
    "deploy/setup/native/llama_cpp/bindings.py": "tests/deploy/setup/test_runtimes.py",
    # A protocol without code.
    "operators/job_runner.py": "tests/operators/test_local_job.py",
    # The fields of a record.
    "tasks/checkpoint/text_facts.py": "tests/tasks/source/view/test_make.py",
    # Declarations of tasks, all of which one test checks.
    "tasks/*/definitions.py": "tests/tasks/test_definitions.py",
}
"""Modules without a test of their own, by pattern, with the reason, and the test that reaches them."""


def test_a_test_file_is_named_after_a_module_or_stands_in_the_list() -> None:
    nameless = {path for path in files() if not list(modules_of(path))}
    assert nameless == set(OF_NO_MODULE)


def test_every_module_has_a_test() -> None:
    assert {module for module in unmirrored() if not rule(module)} == set(WITHOUT_A_TEST)


def test_the_test_that_is_named_for_a_module_reaches_it() -> None:
    missed = []
    for module in unmirrored():
        pattern = rule(module)
        if pattern and dotted(module) not in reached(TESTED_BY[pattern]):
            missed.append(f"{TESTED_BY[pattern]} does not import {module}")
    assert missed == []


def test_no_line_of_the_list_is_left_over() -> None:
    assert {rule(module) for module in unmirrored()} - {None} == set(TESTED_BY)


@cache
def unmirrored() -> tuple[str, ...]:
    """Return the modules that no test file is named after and no test of the mirrored folder imports."""
    mirrored = mirrored_modules().keys()
    ours = [path.relative_to(REPOSITORY).as_posix() for path in modules(REPOSITORY).values()]
    left = (module for module in ours if module.startswith(TOPS) and not module.endswith("__init__.py"))
    return tuple(module for module in left if module not in mirrored)


def rule(module: str) -> str | None:
    """Return the first pattern of TESTED_BY that a module meets."""
    return next((pattern for pattern in TESTED_BY if fnmatchcase(module, pattern)), None)


def reached(test: str) -> set[str]:
    """Return the modules that a test imports, names or is named after, and those that it reaches through these."""
    graph, known = imports(REPOSITORY), modules(REPOSITORY)
    waiting, found = {*direct(test), *mentioned(REPOSITORY / test), *map(dotted, modules_of(test))}, set[str]()
    while waiting:
        name = waiting.pop()
        found.add(name)
        # Much is imported only where it runs, by "module:function", or runs as a program.
        waiting |= (graph[name] | mentioned(known[name])) - found
    return found


@cache
def mentioned(path: Path) -> set[str]:
    """Return the modules whose dotted names stand anywhere in a file, and the programs beside it that it names."""
    text = path.read_text(encoding="utf-8")
    names = set(re.findall(r"[a-z_]+(?:\.[a-z_0-9]+)+", text))
    names |= {name.rpartition(".")[0] for name in names}
    names |= {
        dotted((path.parent / found).relative_to(REPOSITORY).as_posix()) for found in re.findall(r'"(\w+\.py)"', text)
    }
    return names & modules(REPOSITORY).keys()

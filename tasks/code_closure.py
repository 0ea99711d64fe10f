"""Finds the source files that decide what a task makes. Their digest is a part of every key.

These files are the task's module and all modules of this repository that it imports, directly or not.

The files are found by parsing import statements, also those inside functions; no module is imported. Two kinds of code
decide an artifact's bytes without being imported. A module that a definition names as text
("tasks.engines.x.runner:open_runner") is passed as a further root. A script that a module starts or copies
(`Path(__file__).with_name("driver.py")`) is found by its name.

Every byte of a file counts, also docstrings and comments, because some files are copied into artifacts.

Example: closure(("tasks.formats.gguf.convert:convert",)) contains tasks/checkpoint/snapshot.py.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

HOST = tuple(
    f"tasks/host/{name}.py"
    for name in (
        *("at_work", "facts", "file_lock", "process_group", "processor"),
        *("scratch", "shortage", "timing_lock", "tools"),
    )
)
"""Modules of tasks/host. Not among them are those that decide what a benchmark reports: `proc`, which reads memory and
processor time, `control_group`, `disturbance` and `stopwatch`."""

LEFT_OUT = {
    **dict.fromkeys(HOST, "Starts, limits and stops processes. A task whose process is stopped fails."),
    "tasks/errors.py": "A task that raises an error makes no artifact.",
    "tasks/contract.py": "Types of a task's input and output; it runs nothing.",
    "tasks/manifest.py": "The record about an artifact, written after the artifact's files.",
    "tasks/names.py": "Patterns of parameters, whose values are in the key; the nearest name, for messages.",
    "tasks/recipe.py": "The recipe reaches a task as parameters, whose values are in the key.",
    "*/parameters.py": "Types of parameters; their values are in the key, defaults included.",
    "tasks/settings.py": "Where this host keeps its files, and how much memory and disk it has.",
    "tasks/secrets.py": "Credentials, and how they are kept out of logs.",
    "tasks/runtimes.py": "Finds runtimes and native builds, whose digests are in the key.",
    "tasks/keys.py": "Computes keys.",
    "tasks/code_closure.py": "Computes keys.",
    "tasks/formats/base.py": "Types that describe a format. The modules that a task uses are among its roots.",
    "tasks/formats/registry.py": "Finds a format by its name. The modules that a task uses are among its roots.",
    "tasks/engines/*/engine.py": "Describes an engine. Its runner and its serving module are roots.",
    "tasks/engines/*/usage.py": "Lines for people to run, printed in reports.",
    "tasks/store/*": "Moves files; each file is verified by its digest.",
    "tasks/retry.py": "Decides when a request is retried.",
    "tasks/source/download.py": "Moves files; each file is verified by the Hub's digest.",
    "tasks/source/hub_errors.py": "Messages for requests to the Hub that failed.",
    "tasks/source/hub_retry.py": "Decides when a request to the Hub is retried, and after how long.",
    "tasks/source/hub_session.py": "Sends requests to the Hub.",
}
"""Files (glob patterns) that no closure contains, each with the reason why it cannot decide an artifact's bytes.

Their imports are not followed either. When in doubt, do not add a file here: an unnecessary new key costs hours, but a
key that wrongly stays the same delivers a wrong artifact.
"""

IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+(?:\([^)]*\)|[^\n]*)", re.MULTILINE)
WORD = re.compile(rb"\bimport\b")
SCRIPT = re.compile(rb"""["'](\w+\.py)["']""")
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""The fields of a syntax tree node that contain statements. Expressions cannot contain an import statement."""


def closure(roots: Iterable[str], repository: Path = REPOSITORY) -> tuple[str, ...]:
    """Return the files that the roots ("module" or "module:attribute") depend on, sorted, as paths below `repository`.

    The files of the roots are among them. Raises FileNotFoundError for a root that is not a module of the repository.
    """
    return _closure(tuple(sorted(set(roots))), repository)


@cache
def closure_digest(roots: tuple[str, ...], repository: Path = REPOSITORY) -> str:
    """Return a digest (64 hex digits) of the closure's paths and contents."""
    digest = hashlib.sha256()
    for path in closure(roots, repository):
        digest.update(f"{path}\0{_source(repository, path).digest}\0".encode())
    return digest.hexdigest()


def clear_caches() -> None:
    """Clear the caches. Without this, a process reads each file only once."""
    for cached in (closure_digest, _closure, _source, _file_of, _is_ours, _packages):
        cached.cache_clear()


@cache
def _closure(roots: tuple[str, ...], repository: Path) -> tuple[str, ...]:
    waiting: list[str] = []
    for root in roots:
        module = root.partition(":")[0]
        path = _file_of(repository, module)
        if path is None:
            raise FileNotFoundError(
                f"The module {module} does not exist; correct the TaskDefinition, Format or Engine that names it."
            )
        waiting += [path, *_packages(repository, path)]
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in found or any(fnmatchcase(path, pattern) for pattern in LEFT_OUT):
            continue
        found.add(path)
        for used in _source(repository, path).uses:
            waiting += [used, *_packages(repository, used)]
    return tuple(sorted(path for path in found if not _source(repository, path).empty))


@dataclass(frozen=True)
class _Source:
    """A file's sha256, the files that it uses, and whether it is an `__init__.py` that contains only a docstring."""

    digest: str
    uses: tuple[str, ...]
    empty: bool


@cache
def _source(repository: Path, path: str) -> _Source:
    raw = (repository / path).read_bytes()
    package = path.split("/")[:-1]
    modules = {module for statement in _statements(_parse(raw)) for module in _imported(statement, package)}
    uses = {file for module in modules if (file := _file_of(repository, module))}
    beside = {"/".join([*package, name.decode()]) for name in SCRIPT.findall(raw)}
    uses |= {file for file in beside if file != path and (repository / file).is_file()}
    empty = path.endswith("__init__.py") and all(map(_is_text, ast.parse(raw).body))
    return _Source(hashlib.sha256(raw).hexdigest(), tuple(sorted(uses)), empty)


def _parse(raw: bytes) -> ast.Module:
    """Return a syntax tree with all import statements of a file.

    The import statements alone are parsed if a regular expression is certain to have found all of them. Parsing the
    whole file takes 10 times as long, and every task of a release begins with this.
    """
    statements = [found.group().strip() for found in IMPORT.finditer(raw)]
    # Every word `import` in the file belongs to a statement that was found, so no other one can exist.
    if len(WORD.findall(raw)) == len(statements):
        try:
            return ast.parse(b"\n".join(statements))
        except SyntaxError:
            pass
    return ast.parse(raw)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    for field in BLOCKS:
        for statement in getattr(node, field, None) or ():
            yield statement
            yield from _statements(statement)


def _imported(statement: ast.AST, package: list[str]) -> Iterator[str]:
    """Yield the modules that a statement may import: for `from a import b` both a and a.b, since b can be either."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield alias.name
    elif isinstance(statement, ast.ImportFrom):
        above = package[: len(package) - statement.level + 1] if statement.level else []
        base = ".".join([*above, *([statement.module] if statement.module else [])])
        yield base
        for alias in statement.names:
            yield f"{base}.{alias.name}"


@cache
def _file_of(repository: Path, module: str) -> str | None:
    """Return the file of a module or package of the repository, or None for any other module."""
    place = module.replace(".", "/")
    candidates = (f"{place}.py", f"{place}/__init__.py") if _is_ours(repository, place.partition("/")[0]) else ()
    return next((path for path in candidates if (repository / path).is_file()), None)


@cache
def _is_ours(repository: Path, name: str) -> bool:
    return (repository / name).is_dir()


@cache
def _packages(repository: Path, path: str) -> list[str]:
    """Return the `__init__.py` files of the packages that contain a module. Python runs them before the module."""
    parts = path.split("/")[:-1]
    inits = ("/".join([*parts[:size], "__init__.py"]) for size in range(1, len(parts) + 1))
    return [init for init in inits if (repository / init).is_file()]

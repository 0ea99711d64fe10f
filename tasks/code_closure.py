"""Which source files decide what a task makes: its module, and every module of this repository that this one imports.

The files are found by reading import statements, also those inside functions; nothing is imported. Two kinds of code
are not imported and yet decide bytes: a module that a definition names as text ("tasks.engines.x.runner:open_runner")
is passed as a further root, and a script that a module starts or copies (`Path(__file__).with_name("driver.py")`) is
found by its name.

Every byte of a file counts, docstrings and comments included: some files are copied into artifacts as they are.

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

LEFT_OUT = {
    "tasks/errors.py": "A task that raises an error makes no artifact.",
    "tasks/contract.py": "Types of a task's input and output; it runs nothing.",
    "tasks/manifest.py": "The record about an artifact, written after the artifact's files.",
    "tasks/names.py": "Patterns of parameters, whose values are in the key; the nearest name, for messages.",
    "tasks/recipe.py": "What a recipe says reaches a task as parameters, whose values are in the key.",
    "*/parameters.py": "Types of parameters; their values are in the key, defaults included.",
    "tasks/settings.py": "Where this host keeps its files, and how much memory and disk it has.",
    "tasks/secrets.py": "Credentials, and how they are kept out of logs.",
    "tasks/runtimes.py": "Finds runtimes and native builds, whose digests are in the key.",
    "tasks/keys.py": "Computes keys.",
    "tasks/code_closure.py": "Computes keys.",
    "tasks/evaluation/metrics.py": "Words and units of numbers; what is measured, measure.py and speed.py decide.",
    "tasks/formats/base.py": "Types: what a format states. The modules that a task uses are among its roots.",
    "tasks/formats/registry.py": "Finds a format by its name. The modules that a task uses are among its roots.",
    "tasks/engines/base.py": "Types: what an engine states. The modules that a task uses are among its roots.",
    "tasks/engines/*/engine.py": "What an engine states. Its runner and its serving module are roots.",
    "tasks/engines/*/usage.py": "Lines for people to run, printed in reports.",
    "tasks/host/*": "How processes are started, limited and stopped. A process that is stopped fails its task.",
    "tasks/store/*": "How files are moved; each is verified by its digest.",
    "tasks/retry.py": "When a request is sent again.",
    "tasks/source/download.py": "How files are moved; each is verified by the Hub's digest.",
    "tasks/source/hub_errors.py": "Messages for requests to the Hub that failed.",
    "tasks/source/hub_retry.py": "When a request to the Hub is sent again, and after how long.",
    "tasks/source/hub_session.py": "How requests to the Hub are sent.",
}
"""Files (glob patterns) that are in no closure, each with the reason why it cannot decide an artifact's bytes.

Their own imports are not followed either. When in doubt, leave a file in: a needless new key costs hours, a key that
should have changed and did not delivers a wrong artifact.
"""

IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+(?:\([^)]*\)|[^\n]*)", re.MULTILINE)
WORD = re.compile(rb"\bimport\b")
SCRIPT = re.compile(rb"""["'](\w+\.py)["']""")
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""The fields of a syntax tree's node that hold statements; expressions hold no import statement."""


def closure(roots: Iterable[str], repository: Path = REPOSITORY) -> tuple[str, ...]:
    """Return the files, sorted, as paths below `repository`, of the roots ("module" or "module:attribute").

    Raises FileNotFoundError for a root that is no module of the repository.
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
    """Forget what was read; files are read once a process otherwise."""
    for cached in (closure_digest, _closure, _source, _file_of, _is_ours, _packages):
        cached.cache_clear()


@cache
def _closure(roots: tuple[str, ...], repository: Path) -> tuple[str, ...]:
    waiting: list[str] = []
    for root in roots:
        module = root.partition(":")[0]
        path = _file_of(repository, module)
        if path is None:
            raise FileNotFoundError(f"{module}, named as code that decides an artifact, does not exist")
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
    """A file's sha256, the files that it names, and whether it is an `__init__.py` with nothing but a docstring."""

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
    """Return the syntax tree of a file or, where that is certain to hold them all, of its import statements.

    Parsing whole files takes 10 times as long, and every task of a release begins with this.
    """
    statements = [found.group().strip() for found in IMPORT.finditer(raw)]
    # Each `import` begins a line's statement: there is no other place left where one could be.
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
    """Yield what an import statement names; `from a import b` names a module a.b or something in a."""
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
    """Return the file of a module or package of the repository, None for a module of anything else."""
    place = module.replace(".", "/")
    candidates = (f"{place}.py", f"{place}/__init__.py") if _is_ours(repository, place.partition("/")[0]) else ()
    return next((path for path in candidates if (repository / path).is_file()), None)


@cache
def _is_ours(repository: Path, name: str) -> bool:
    return (repository / name).is_dir()


@cache
def _packages(repository: Path, path: str) -> list[str]:
    """Return the files of the packages around a module, which Python runs before it."""
    parts = path.split("/")[:-1]
    inits = ("/".join([*parts[:size], "__init__.py"]) for size in range(1, len(parts) + 1))
    return [init for init in inits if (repository / init).is_file()]

"""No import runs upwards, and none in a circle: between the rooms of the product, and between its files."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tasks.settings import REPOSITORY
from tests.structure.imports import cycles, imports, modules

LAYERS = (
    ("tasks.errors",),
    ("tasks.model", "tasks.names", "tasks.settings"),
    ("tasks.records",),
    ("tasks.host", "tasks.secrets", "tasks.manifest", "tasks.strict_yaml"),
    ("tasks.runtimes", "tasks.costs"),
    ("tasks.store",),
    ("tasks.contract",),
    ("tasks.keys",),
    ("tasks.pools",),
    ("tasks.checkpoint",),
    ("tasks.source",),
    ("tasks.engines",),
    ("tasks.evaluation",),
    ("tasks.formats",),
    ("tasks.plan", "tasks.proving"),
    ("tasks.gates",),
    ("tasks.release",),
    ("tasks.recipe", "tasks.housekeeping"),
    ("tasks.definitions",),
    ("tasks.execution",),
    ("tasks.__main__", "operators"),
    ("dags", "deploy.local", "deploy.demo"),
)
"""The rooms, the lowest first; a room imports lower ones only. Rooms of one layer do not know each other.

`tasks` itself holds no code. `deploy.setup` runs before anything is installed: it has a rule of its own.
"""

HEIGHT = {room: height for height, layer in enumerate(LAYERS) for room in layer}
SETUP, FOR_SETUP = "deploy.setup", {"tasks", "tasks.host", "tasks.host.file_lock"}


def room(module: str) -> str:
    """Return the room that a module is in: the longest of the rooms' names that it begins with."""
    parts = module.split(".")
    return next((name for size in range(len(parts), 0, -1) if (name := ".".join(parts[:size])) in HEIGHT), parts[0])


def upward(graph: Mapping[str, frozenset[str]]) -> list[str]:
    """Return the imports that lead to the same layer's other rooms, or to a higher one."""
    return [
        f"{module} imports {other}"
        for module, imported in graph.items()
        for other in imported
        if room(module) in HEIGHT and room(other) in HEIGHT and room(module) != room(other)
        if HEIGHT[room(other)] >= HEIGHT[room(module)]
    ]


def test_every_module_is_in_a_room() -> None:
    bare = {"tasks", "deploy", SETUP}
    outside = {name for name in modules(REPOSITORY) if room(name) not in HEIGHT and name not in bare}
    assert {name for name in outside if not name.startswith(f"{SETUP}.")} == set()


def test_no_import_runs_upwards() -> None:
    assert upward(imports(REPOSITORY)) == []


def test_no_files_import_each_other() -> None:
    assert cycles(imports(REPOSITORY)) == []


def test_no_packages_import_each_other() -> None:
    packages: dict[str, set[str]] = defaultdict(set)
    for module, imported in imports(REPOSITORY).items():
        packages[package(module)] |= {package(other) for other in imported} - {package(module)}
    assert cycles({name: frozenset(others & packages.keys()) for name, others in packages.items()}) == []


def package(module: str) -> str:
    """Return the folder that a module lies in; a module that lies in `tasks` itself is a package of its own."""
    known = modules(REPOSITORY)
    if known[module].name == "__init__.py":
        return module
    folder = module.rpartition(".")[0]
    return module if folder == "tasks" else folder


def test_the_setup_needs_nothing_installed() -> None:
    graph = imports(REPOSITORY)
    reached = {other for name in graph if name.startswith(f"{SETUP}.") for other in graph[name]}
    assert {name for name in reached if not name.startswith(SETUP)} <= FOR_SETUP


def test_the_rules_see_what_breaks_them(tmp_path: Path) -> None:
    """An upward import, and a circle, planted into a small tree."""
    for name, text in {
        "tasks/errors.py": "",
        "tasks/store/s3.py": "def late():\n    from tasks.release.record import Release\n",
        "tasks/release/record.py": "from tasks.release import page\n",
        "tasks/release/page.py": "import tasks.release.record\nfrom tasks import errors\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = imports(tmp_path)
    assert upward(graph) == ["tasks.store.s3 imports tasks.release.record"]
    assert cycles(graph) == [["tasks.release.page", "tasks.release.record"]]

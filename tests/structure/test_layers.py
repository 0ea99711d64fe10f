"""No import runs upwards, and none in a circle: between the rooms of the product, and between its files."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.settings import REPOSITORY
from tests.structure.imports import cycles, imports, modules

LAYERS = (
    ("tasks.errors", "tasks.hub_name"),
    ("tasks.model", "tasks.names", "tasks.settings", "tasks.runtime_declaration", "tasks.code_closure"),
    ("tasks.records", "tasks.retry"),
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
    ("tasks.plan", "tasks.proving", "tasks.integrity"),
    ("tasks.gates",),
    ("tasks.release",),
    ("tasks.recipe", "tasks.housekeeping"),
    ("tasks.definitions",),
    ("tasks.execution",),
    ("tasks.__main__", "operators"),
    ("dags", "deploy.local", "deploy.demo"),
    ("deploy.real",),
)
"""The rooms, the lowest first; a room imports lower ones only. Rooms of one layer do not know each other.

`tasks` itself holds no code. `deploy.setup` runs before anything is installed: it has a rule of its own.
"""

HEIGHT = {room: height for height, layer in enumerate(LAYERS) for room in layer}
SETUP = "deploy.setup"
FOR_SETUP = {
    "tasks",
    "tasks.errors",
    "tasks.runtime_declaration",
    "tasks.host",
    "tasks.host.file_lock",
    "tasks.host.proc",
}
"""What it may use of the product: modules that import the standard library only."""


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
    """In each folder, a subfolder counts as one: no circle leads through it and its neighbours."""
    assert [circle for folder in folders(imports(REPOSITORY)) for circle in cycles(folder)] == []


def folders(graph: Mapping[str, frozenset[str]]) -> Iterator[Mapping[str, frozenset[str]]]:
    """Yield, per package, which of its children (modules, and packages with all that is in them) imports which."""
    packages = {".".join(name.split(".")[:size]) for name in graph for size in range(name.count(".") + 1)}
    for package in sorted(packages):
        depth = package.count(".") + 2 if package else 1
        inside = [name for name in graph if not package or name.startswith(f"{package}.")]
        children: dict[str, set[str]] = defaultdict(set)
        for name in inside:
            child = _child(name, depth)
            children[child] |= {_child(other, depth) for other in graph[name] if other in inside} - {child}
        yield {child: frozenset(others) for child, others in children.items()}


def _child(module: str, depth: int) -> str:
    return ".".join(module.split(".")[:depth])


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
    (tmp_path / "tasks/errors.py").write_text("from tasks.store import s3\n")
    (tmp_path / "tasks/store/s3.py").write_text("")
    (tmp_path / "tasks/store/local.py").write_text("import tasks.errors\n")
    imports.cache_clear()
    assert ["tasks.errors", "tasks.store"] in [
        circle for folder in folders(imports(tmp_path)) for circle in cycles(folder)
    ]

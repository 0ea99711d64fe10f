"""A runtime's declaration is read strictly: a mistake is refused in one sentence that names the file and the key."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tasks.errors import InvalidDeclaration
from tasks.runtime_declaration import NativeNeed, RuntimeDeclaration, read_all, read_declaration
from tasks.settings import REPOSITORY

RUNTIME = re.compile(r'^pytestmark = .*\bruntime\("([\w-]+)"\)', re.MULTILINE)
LEAST = 'install = "setup"\nrequires = ["numpy"]\nimports = ["numpy"]\n'
NATIVE = '[native."a.b"]\nparts = ["lib"]\n'


def declared(folder: Path, text: str) -> RuntimeDeclaration:
    (folder / "tiny.toml").write_text(text, encoding="utf-8")
    return read_declaration("tiny", folder)


def test_the_least_that_is_declared(tmp_path: Path) -> None:
    assert declared(tmp_path, LEAST) == RuntimeDeclaration("tiny", "setup", ("numpy",), ("numpy",))


def test_all_that_can_be_declared(tmp_path: Path) -> None:
    text = LEAST + (
        'includes = ["control"]\ntorch = "cuda"\ninstalled_apart = ["torch==2.1.0", "other==1"]\nheavy = ["numpy"]\n'
        'tests = true\nenvironment = { PLACE = "{tools}/a.b/lib", PLAIN = "1" }\n'
        '[native."a.b"]\nparts = ["lib", "bin"]\nbindings = true\n'
        '[native.c]\nparts = ["all"]\n'
    )
    found = declared(tmp_path, text)
    assert (found.includes, found.heavy, found.tests) == (("control",), ("numpy",), True)
    assert (found.torch, found.torch_version) == ("cuda", "2.1.0")
    assert found.native == (
        NativeNeed("a.b", ("lib", "bin"), bindings=True),
        NativeNeed("c", ("all",)),
    )
    assert found.variables(Path("/where")) == {"PLACE": "/where/a.b/lib", "PLAIN": "1"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{LEAST}reqires = []\n", "tiny.toml: unknown key 'reqires'; did you mean 'requires'?"),
        (f"{LEAST}zzz = 1\n", "tiny.toml: unknown key 'zzz'; the known keys are environment, heavy, imports, "),
        (LEAST + NATIVE + "party = 1\n", "tiny.toml: native.a.b: unknown key 'party'; did you mean 'parts'?"),
        (f'{LEAST}[native."a.b"]\n', "tiny.toml: native.a.b: the key 'parts' is missing; add it."),
        (f"{LEAST}native = 1\n", "tiny.toml: 'native' must be a table for each native tool, not 1."),
        (f"{LEAST}native = {{ a = 1 }}\n", "tiny.toml: 'native' must be a table for each native tool"),
        ('requires = ["a"]\nimports = ["a"]\n', "tiny.toml: the key 'install' is missing; add it."),
        (LEAST.replace("setup", "later"), "'install' must be one of setup, tests, first-use, not 'later'."),
        (LEAST.replace('"setup"', "[]"), "'install' must be one of setup, tests, first-use, not []."),
        (LEAST.replace('["numpy"]', '"numpy"'), "'requires' must be a list of texts, not 'numpy'."),
        (LEAST.replace('["numpy"]', "[]"), "'requires' must be a list of texts, not []."),
        (LEAST.replace('["numpy"]', "[1]"), "'requires' must be a list of texts, not [1]."),
        (
            LEAST.replace('["numpy"]', '["-r x"]', 1),
            "'requires' must contain names of packages, without options and addresses, not '-r x'",
        ),
        (LEAST.replace('["numpy"]', '["a @ file:x"]', 1), "'requires' must contain names of packages, without options"),
        (LEAST.replace('["numpy"]', '["a #://"]', 1), "'requires' must contain names of packages, without options"),
        (
            f'{LEAST}installed_apart = ["a>=1"]\n',
            "'installed_apart' must contain exact versions (package==version), not",
        ),
        (f'{LEAST}torch = "rocm"\n', "'torch' must be one of cpu, cuda, not 'rocm'."),
        (f'{LEAST}torch = "cpu"\n', "'torch' (\"cpu\" or \"cuda\") and a pin `torch==VERSION` in 'installed_apart' go"),
        (f'{LEAST}installed_apart = ["torch==1"]\n', '\'torch\' ("cpu" or "cuda") and a pin `torch==VERSION` in'),
        (f'{LEAST}installed_apart = ["other==1"]\n', '\'torch\' ("cpu" or "cuda") and a pin `torch==VERSION` in'),
        (f'{LEAST}tests = "yes"\n', "'tests' must be true or false, not 'yes'."),
        (f"{LEAST}environment = 1\n", "'environment' must be a table of variables, not 1."),
        (
            f"{LEAST}environment = {{ A = 1 }}\n",
            "'environment' must give A a text with no other braces than {tools}, not 1",
        ),
        (f'{LEAST}environment = {{ A = "{{home}}" }}\n', "'environment' must give A a text with no other braces than"),
        (f"{LEAST}install = 1\n", "tiny.toml is not valid TOML: "),
        ("\x00", "tiny.toml is not valid TOML: "),
    ],
)
def test_what_is_wrong_is_reported_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration) as told:
        declared(tmp_path, text)
    assert sentence in str(told.value)
    assert str(told.value).startswith("deploy/runtimes/tiny.toml")
    assert "\n" not in str(told.value)


def test_a_runtime_that_is_not_declared_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidDeclaration, match=r"no runtime 'x': deploy/runtimes/x\.toml does not exist"):
        read_declaration("x", tmp_path)


def test_the_declarations_of_this_repository_are_whole() -> None:
    found = read_all()
    assert {"control", "dev", "uv"} <= set(found)
    for declaration in found.values():
        assert set(declaration.includes) <= set(found)


def test_the_linter_forbids_what_is_declared_heavy_where_dags_are_parsed() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    banned = project["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    heavy = {module for declaration in read_all().values() for module in declaration.heavy}
    assert sorted(heavy) == sorted(banned)


def test_who_runs_test_files_is_who_they_name() -> None:
    files = [path for path in (REPOSITORY / "tests").rglob("test_*.py") if ".hallmark" not in path.parts]
    named = {found[1] for path in files if (found := RUNTIME.search(path.read_text(encoding="utf-8")))}
    assert {name for name, declaration in read_all().items() if declaration.tests} == named


def test_it_is_read_without_anything_installed() -> None:
    script = (
        "import sys; before = set(sys.modules); import tasks.runtime_declaration, deploy.setup.__main__\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(tops - sys.stdlib_module_names - {'tasks', 'deploy'}))"
    )
    command = [sys.executable, "-S", "-c", script]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr

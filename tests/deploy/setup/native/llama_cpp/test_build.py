"""Parts are built when first asked for, from one tree, and recorded when whole: with real CMake and ninja."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.setup.environments import build_environment
from deploy.setup.errors import SetupError
from deploy.setup.native.llama_cpp import build as llama_build
from deploy.setup.native.llama_cpp import cache as llama_cache
from deploy.setup.native.llama_cpp import source

PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(tiny CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_library(llama llama.cpp)
set_target_properties(llama PROPERTIES VERSION 0.5.0 SOVERSION 0)
add_library(ggml-cpu-haswell MODULE llama.cpp)
add_dependencies(llama ggml-cpu-haswell)
add_executable(llama-quantize quantize.cpp)
target_link_libraries(llama-quantize llama)
add_executable(llama-imatrix broken.cpp)
"""
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def tiny(real_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder and a cache of their own, in which the sources fetched are those of the tiny project."""
    build_environment()
    (tmp_path / "home" / "envs").mkdir(parents=True)
    (tmp_path / "home" / "envs" / "build").symlink_to(real_home / "envs" / "build")
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    for name in ("HALLMARK_ENVS", "HALLMARK_TOOLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def unpack(archive: Path, tree: Path) -> str:
        tree.mkdir(parents=True)
        (tree / "CMakeLists.txt").write_text(PROJECT)
        (tree / "llama.cpp").write_text("int answer() { return 42; }\n")
        (tree / "quantize.cpp").write_text("int answer();\nint main() { return answer(); }\n")
        (tree / "broken.cpp").write_text("int main() { return no_such_name; }\n")
        return COMMIT

    monkeypatch.setattr(llama_build, "fetch", lambda folder, pip: folder / "archive")
    monkeypatch.setattr(llama_build, "unpack", unpack)
    monkeypatch.setattr(llama_build, "keep_variants", lambda tree, wanted: None)
    monkeypatch.setattr(llama_build, "make_wheel", lambda archive, folder, environment: folder.mkdir())
    return tmp_path / "home" / "tools" / "llama.cpp"


def ensure_parts(parts: list[str]) -> bool:
    return llama_build.ensure_parts(parts, build_environment)


def parts(tool: Path) -> list[str]:
    """Return the parts that `build.json` calls whole."""
    built = llama_cache.read_build(tool)
    return built.parts if built else []


def test_parts_one_after_the_other(tiny: Path, tmp_path: Path) -> None:
    assert ensure_parts(["lib"]) is True
    assert parts(tiny) == ["lib"]
    assert (tiny / "lib" / "libllama.so").resolve().name == "libllama.so.0.5.0"
    assert (tiny / "bin" / "libggml-cpu-haswell.so").readlink() == Path("../lib/libggml-cpu-haswell.so")
    assert ensure_parts(["lib"]) is False

    assert ensure_parts(["quantize"]) is True
    assert parts(tiny) == ["lib", "quantize"]
    assert ensure_parts(["quantize", "lib"]) is False

    moved = tmp_path / "moved"
    for folder in ("lib", "bin"):
        shutil.copytree(tiny / folder, moved / folder, symlinks=True)
    shutil.rmtree(tmp_path / "cache")
    assert subprocess.run([moved / "bin" / "llama-quantize"]).returncode == 42
    assert (moved / "bin" / "libggml-cpu-haswell.so").resolve().is_file()


def test_record_says_what_was_built(tiny: Path) -> None:
    ensure_parts(["lib"])
    record = json.loads((tiny / "build.json").read_text())
    assert record["commit"] == COMMIT
    assert record["version"] == source.version()
    assert {"-DGGML_NATIVE=OFF", "-DCMAKE_BUILD_TYPE=Release"} < set(record["flags"])
    assert tiny.resolve() == llama_cache.folder_of(record["version"], record["digest"])


def test_part_that_does_not_compile_is_not_recorded(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ensure_parts(["lib"])
    with pytest.raises(SetupError, match="did not compile"):
        ensure_parts(["imatrix"])
    assert "no_such_name" in capfd.readouterr().err
    assert parts(tiny) == ["lib"]


def test_what_a_killed_process_left_is_swept(tiny: Path, tmp_path: Path) -> None:
    folder = llama_cache.current_folder()
    left = folder.with_name(f".{folder.name}.abcdef")
    (left / "new").mkdir(parents=True)
    ensure_parts(["lib"])
    assert not left.exists()
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_unknown_part(tiny: Path) -> None:
    with pytest.raises(SetupError, match="no part 'quantise' here: name some of lib, quantize"):
        ensure_parts(["lib", "quantise"])
    assert not tiny.exists()


def test_link_follows_the_build(tiny: Path, tmp_path: Path) -> None:
    for name in ("first", "second", "second"):
        llama_cache.point_at(tmp_path / name)
        assert tiny.readlink() == tmp_path / name


def test_progress_is_told_in_tenths(capsys: pytest.CaptureFixture[str]) -> None:
    progress = llama_build.Progress()
    for done in range(1, 141):
        progress(f"[{done}/140] Building CXX object\n")
    progress("a warning without a count\n")
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 10
    assert told[0] == "llama.cpp: 10 % (14 of 140 steps)"
    assert told[-1] == "llama.cpp: 100 % (140 of 140 steps)"

"""Only what is needed is unpacked, and nothing outside the folder."""

import io
import tarfile
from pathlib import Path

import pytest

from deploy.setup.errors import SetupError
from deploy.setup.native.llama_cpp.source import keep_variants, unpack

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOP = "llama_cpp_python-1.0"
TREE = f"{TOP}/vendor/llama.cpp"
WHOLE = {
    f"{TREE}/CMakeLists.txt": "project(llama)",
    f"{TREE}/src/deep/llama.cpp": "int main;",
    f"{TREE}/models/vocab.gguf": "large",
    f"{TOP}/llama_cpp/llama.py": "",
    f"{TOP}/.git/modules/vendor/llama.cpp/HEAD": COMMIT + "\n",
}


def archive_of(folder: Path, files: dict[str, str], *links: tarfile.TarInfo) -> Path:
    """Write a source distribution with these files and links."""
    path = folder / "llama_cpp_python-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as opened:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            opened.addfile(member, io.BytesIO(text.encode()))
        for link in links:
            opened.addfile(link)
    return path


def test_keeps_what_is_compiled_or_run(tmp_path: Path) -> None:
    assert unpack(archive_of(tmp_path, WHOLE), tmp_path / "tree") == COMMIT
    files = {str(path.relative_to(tmp_path / "tree")) for path in (tmp_path / "tree").rglob("*") if path.is_file()}
    assert files == {"CMakeLists.txt", "src/deep/llama.cpp"}


def test_name_that_leads_out_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, WHOLE | {f"{TREE}/src/../../../escaped": "x"})
    with pytest.raises(tarfile.TarError):
        unpack(archive, tmp_path / "a" / "b" / "tree")
    assert not list(tmp_path.rglob("escaped"))


def test_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo(f"{TREE}/src/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    with pytest.raises(tarfile.TarError):
        unpack(archive_of(tmp_path, WHOLE, link), tmp_path / "tree")


@pytest.mark.parametrize("missing", [f"{TREE}/CMakeLists.txt", f"{TOP}/.git/modules/vendor/llama.cpp/HEAD"])
def test_other_archive_is_refused(tmp_path: Path, missing: str) -> None:
    files = {name: text for name, text in WHOLE.items() if name != missing}
    with pytest.raises(SetupError, match=r"does not contain llama\.cpp"):
        unpack(archive_of(tmp_path, files), tmp_path / "tree")


CMAKE = """if (x86)
        ggml_add_cpu_backend_variant(x64)
        ggml_add_cpu_backend_variant(haswell            SSE42 AVX)
        if (NOT MSVC)
            ggml_add_cpu_backend_variant(zen4           SSE42 AVX AVX512)
        endif()
endif()
ggml_add_cpu_backend_variant_impl("")
"""


def test_only_the_wanted_kinds_of_processors_are_compiled(tmp_path: Path) -> None:
    file = tmp_path / "ggml" / "src" / "CMakeLists.txt"
    file.parent.mkdir(parents=True)
    file.write_text(CMAKE)
    keep_variants(tmp_path, ["haswell"])
    lines = [line.strip() for line in file.read_text().splitlines()]
    assert [line for line in lines if line.startswith("ggml_add")] == [
        "ggml_add_cpu_backend_variant(haswell            SSE42 AVX)",
        'ggml_add_cpu_backend_variant_impl("")',
    ]
    with pytest.raises(SetupError, match=r"no code for 'zen9': change VARIANTS in .*flags\.py"):
        keep_variants(tmp_path, ["haswell", "zen9"])

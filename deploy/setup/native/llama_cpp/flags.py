"""How llama.cpp is compiled, and the digest that names a build.

A build is made for the processor it runs on (`GGML_NATIVE`), and the same sources give other numbers with other
instructions. So a build's digest covers the flags, the compiler and what that compiler takes the processor to be: its
predefined macros under `-march=native`. (The kernel's list of processor flags names too much: it changes with a
microcode update that changes no instruction.)
"""

import hashlib
import json
import os
import subprocess

from deploy.setup.errors import SetupError

FLAGS: dict[str, str] = {
    "CMAKE_BUILD_TYPE": "Release",
    # The kernels that decide the speed are written with intrinsics: -O2 keeps the build short.
    "CMAKE_C_FLAGS_RELEASE": "-O2 -DNDEBUG",
    "CMAKE_CXX_FLAGS_RELEASE": "-O2 -DNDEBUG",
    "BUILD_SHARED_LIBS": "ON",
    # Binaries find their libraries beside themselves or in ../lib, wherever the folder is moved.
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN;$ORIGIN/../lib",
    "GGML_NATIVE": "ON",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    # Models are files that Hallmark fetched and checked: no tool of llama.cpp needs the network.
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_CURL": "OFF",
}

COMPILERS = (("CC", "cc", "c"), ("CXX", "c++", "c++"))
"""(variable that names another one, command, language), as CMake chooses them."""


def predefined_macros(command: str, language: str) -> str:
    """Return what `command` predefines for this machine's processor, sorted, one macro a line.

    The compiler's version is among them (`__VERSION__`).

    Raises:
        SetupError: where there is no such compiler, or it cannot compile for the processor it runs on.
    """
    said = ""
    for native in ("-march=native", "-mcpu=native"):
        try:
            done = subprocess.run(
                [*command.split(), native, "-dM", "-E", "-x", language, os.devnull],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            raise SetupError(
                f"There is no {language.upper()} compiler {command!r} on this machine: install one "
                "(Debian: apt-get install build-essential) or name it in CC and CXX."
            ) from None
        if done.returncode == 0:
            return "\n".join(sorted(done.stdout.splitlines()))
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
    raise SetupError(
        f"The compiler {command!r} cannot compile for this processor ({said}): name a newer one in CC and CXX."
    )


def digest_of(version: str, flags: dict[str, str], macros: list[str]) -> str:
    """Return the sha256, in hexadecimal, of everything that decides what a build computes."""
    text = json.dumps({"version": version, "flags": flags, "macros": macros}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def build_digest(version: str) -> str:
    """Return the digest that a build of llama.cpp `version` has on this machine."""
    macros = [
        predefined_macros(os.environ.get(variable) or command, language) for variable, command, language in COMPILERS
    ]
    return digest_of(version, FLAGS, macros)

"""How llama.cpp is compiled, and the digest that names a build.

The same sources give other numbers with other instructions, and a build's digest is in the key of what it makes. So a
build does not depend on the processor that compiles it: it uses the instructions that `INSTRUCTIONS` declares for its
architecture, which a build on any host has in common with a build on any other. Its digest covers the version, the
flags, and the compiler: what it predefines, its own version and the architecture among it.
"""

import hashlib
import json
import os
import platform
import subprocess
from pathlib import Path

from deploy.setup.errors import SetupError

COMMON: dict[str, str] = {
    "CMAKE_BUILD_TYPE": "Release",
    # The kernels that decide the speed are written with intrinsics: -O2 keeps the build short.
    "CMAKE_C_FLAGS_RELEASE": "-O2 -DNDEBUG",
    "CMAKE_CXX_FLAGS_RELEASE": "-O2 -DNDEBUG",
    "BUILD_SHARED_LIBS": "ON",
    # Binaries find their libraries beside themselves or in ../lib, wherever the folder is moved.
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN;$ORIGIN/../lib",
    # Not for the processor that compiles: the flags of INSTRUCTIONS say for which.
    "GGML_NATIVE": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    # Models are files that Hallmark fetched and checked: no tool of llama.cpp needs the network.
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_CURL": "OFF",
}

INSTRUCTIONS: dict[str, dict[str, str]] = {
    # x86-64-v3: Intel's processors since 2013 (Haswell) and AMD's since 2015 (Excavator).
    "x86_64": {f"GGML_{name}": "ON" for name in ("SSE42", "AVX", "AVX2", "BMI2", "FMA", "F16C")},
    # Servers since 2019 (Neoverse N1); the products of 8-bit integers are what quantized models spend their time in.
    "aarch64": {"GGML_CPU_ARM_ARCH": "armv8.2-a+dotprod"},
}
"""Per architecture, the flags for the instructions that a build uses."""

CPUINFO = Path("/proc/cpuinfo")
NEEDED = {"x86_64": {"sse4_2", "avx", "avx2", "bmi2", "fma", "f16c"}, "aarch64": {"asimddp"}}
"""Per architecture, the kernel's names of those instructions."""

COMPILERS = (("CC", "cc", "c"), ("CXX", "c++", "c++"))
"""(variable that names another one, command, language), as CMake chooses them."""


def flags() -> dict[str, str]:
    """Return what CMake is told on a machine of this architecture.

    Raises:
        SetupError: where nothing is declared for the architecture.
    """
    machine = platform.machine()
    if machine not in INSTRUCTIONS:
        raise SetupError(
            f"llama.cpp is built for {' and '.join(INSTRUCTIONS)}, and this machine is {machine}: declare its "
            "instructions in deploy/setup/native/llama_cpp/flags.py."
        )
    return COMMON | INSTRUCTIONS[machine]


def check_processor(cpuinfo: Path = CPUINFO) -> None:
    """Raise SetupError where this processor lacks instructions that a build uses: it would crash."""
    told = [line for line in cpuinfo.read_text().splitlines() if line.lower().startswith(("flags", "features"))]
    missing = NEEDED[platform.machine()] - set(" ".join(told).split())
    if missing:
        raise SetupError(
            f"This processor lacks instructions that llama.cpp is built with here ({', '.join(sorted(missing))}): "
            "use a machine that has them."
        )


def predefined_macros(command: str, language: str) -> str:
    """Return what `command` predefines, sorted, one macro a line.

    The compiler's version is among them (`__VERSION__`), and the architecture that it compiles for.

    Raises:
        SetupError: where there is no such compiler, or it does not work.
    """
    try:
        done = subprocess.run(
            [*command.split(), "-dM", "-E", "-x", language, os.devnull], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise SetupError(
            f"There is no {language.upper()} compiler {command!r} on this machine: install one "
            "(Debian: apt-get install build-essential) or name it in CC and CXX."
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
        raise SetupError(f"The compiler {command!r} does not work ({said}): name another one in CC and CXX.")
    return "\n".join(sorted(done.stdout.splitlines()))


def digest_of(version: str, flags: dict[str, str], macros: list[str]) -> str:
    """Return the sha256, in hexadecimal, of everything that decides what a build computes."""
    text = json.dumps({"version": version, "flags": flags, "macros": macros}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def build_digest(version: str) -> str:
    """Return the digest that a build of llama.cpp `version` has on a machine of this architecture."""
    macros = [
        predefined_macros(os.environ.get(variable) or command, language) for variable, command, language in COMPILERS
    ]
    return digest_of(version, flags(), macros)

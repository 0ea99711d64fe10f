"""The flags with which llama.cpp is compiled, and the digest of a build.

The same sources give slightly different numbers with different processor instructions, so the digest of a build is a
part of the keys of the artifacts that it makes. All hosts must get the same digest. Therefore a build never uses the
instructions of the processor that compiles it, but those that `INSTRUCTIONS` declares for the architecture.

The digest covers the version, the flags and the macros that the compiler predefines, among them the compiler's version
and the architecture.
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
    # The kernels that decide the speed are written with intrinsics, so -O2 is enough and makes the build shorter.
    "CMAKE_C_FLAGS_RELEASE": "-O2 -DNDEBUG",
    "CMAKE_CXX_FLAGS_RELEASE": "-O2 -DNDEBUG",
    "BUILD_SHARED_LIBS": "ON",
    # Programs find their libraries beside themselves or in ../lib, so the folder can be moved.
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN;$ORIGIN/../lib",
    # Do not use the instructions of the processor that compiles; INSTRUCTIONS declares them.
    "GGML_NATIVE": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    # Hallmark downloads and checks models itself, so no tool of llama.cpp needs the network.
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_CURL": "OFF",
}

INSTRUCTIONS: dict[str, dict[str, str]] = {
    # x86-64-v3: Intel's processors since 2013 (Haswell) and AMD's since 2015 (Excavator).
    "x86_64": {f"GGML_{name}": "ON" for name in ("SSE42", "AVX", "AVX2", "BMI2", "FMA", "F16C")},
    # Servers since 2019 (Neoverse N1). Quantized models spend most of their time in products of 8-bit integers.
    "aarch64": {"GGML_CPU_ARM_ARCH": "armv8.2-a+dotprod"},
}
"""The flags for the instructions that a build uses, by architecture."""

CPUINFO = Path("/proc/cpuinfo")
NEEDED = {"x86_64": {"sse4_2", "avx", "avx2", "bmi2", "fma", "f16c"}, "aarch64": {"asimddp"}}
"""The names of these instructions in /proc/cpuinfo, by architecture."""

COMPILERS = (("CC", "cc", "c"), ("CXX", "c++", "c++"))
"""(variable with another command, default command, language) of the compilers, as CMake chooses them."""


def flags() -> dict[str, str]:
    """Return CMake's options for the architecture of this machine.

    Raises:
        SetupError: if no instructions are declared for the architecture.
    """
    machine = platform.machine()
    if machine not in INSTRUCTIONS:
        raise SetupError(
            f"llama.cpp is built for {' and '.join(INSTRUCTIONS)}, and this machine is {machine}: declare its "
            "instructions in deploy/setup/native/llama_cpp/flags.py."
        )
    return COMMON | INSTRUCTIONS[machine]


def check_processor(cpuinfo: Path = CPUINFO) -> None:
    """Raise SetupError if this processor lacks instructions that a build uses, because the build would crash."""
    features = [line for line in cpuinfo.read_text().splitlines() if line.lower().startswith(("flags", "features"))]
    missing = NEEDED[platform.machine()] - set(" ".join(features).split())
    if missing:
        raise SetupError(
            f"This processor lacks instructions that llama.cpp is built with here ({', '.join(sorted(missing))}): "
            "use a machine that has them."
        )


def predefined_macros(command: str, language: str) -> str:
    """Return the macros that the compiler `command` predefines, sorted, one a line.

    They include the compiler's version (`__VERSION__`) and the architecture for which it compiles.

    Raises:
        SetupError: if there is no such compiler, or it does not work.
    """
    try:
        done = subprocess.run(
            [*command.split(), "-dM", "-E", "-x", language, os.devnull], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise SetupError(
            f"There is no {language.upper()} compiler {command!r} on this machine: install one "
            "(Debian: apt-get install build-essential) or set CC and CXX."
        ) from None
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
        raise SetupError(f"The compiler {command!r} does not work ({reason}): set CC and CXX to another one.")
    return "\n".join(sorted(done.stdout.splitlines()))


def digest_of(version: str, flags: dict[str, str], macros: list[str]) -> str:
    """Return the sha256, in hexadecimal, of everything that decides what a build computes."""
    text = json.dumps({"version": version, "flags": flags, "macros": macros}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def build_digest(version: str) -> str:
    """Return the digest of a build of llama.cpp `version` on this machine."""
    macros = [
        predefined_macros(os.environ.get(variable) or command, language) for variable, command, language in COMPILERS
    ]
    return digest_of(version, flags(), macros)

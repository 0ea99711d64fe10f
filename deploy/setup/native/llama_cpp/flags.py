"""The flags with which llama.cpp is compiled, and the digest of a build.

The digest of a build is a part of the keys of the artifacts that it makes, and all hosts must get the same digest.
Therefore a build does not depend on the processor that compiles it. It holds the code for several kinds of processors
(`VARIANTS`), and llama.cpp loads the best one that the processor can run, as torch and onnxruntime do. On a processor
with AVX-512 and AMX (Sapphire Rapids), code for the oldest kind alone takes 2.0 to 2.7 times as long to read a prompt
of 512 tokens, and 1.4 to 1.7 times as long to generate (SmolLM2-135M in F16, Q8_0 and Q4_0; processor time of one
thread, best of two in each of three runs).

Kinds differ in the last bits of floating-point sums. `llama-quantize` does not use this code, so its bytes are the same
everywhere.

The digest covers the version, the flags, the kinds and the macros that the compiler predefines, among them the
compiler's version and the architecture.
"""

import hashlib
import json
import os
import platform
import subprocess
from pathlib import Path

from deploy.setup.errors import SetupError

FLAGS: dict[str, str] = {
    "CMAKE_BUILD_TYPE": "Release",
    # The kernels that decide the speed are written with intrinsics, so -O2 is enough and makes the build shorter.
    "CMAKE_C_FLAGS_RELEASE": "-O2 -DNDEBUG",
    "CMAKE_CXX_FLAGS_RELEASE": "-O2 -DNDEBUG",
    "BUILD_SHARED_LIBS": "ON",
    # Programs find their libraries beside themselves or in ../lib, so the folder can be moved.
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN;$ORIGIN/../lib",
    # Code for several processors, each in a library of its own that is loaded at run time.
    "GGML_NATIVE": "OFF",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    # Hallmark downloads and checks models itself, so no tool of llama.cpp needs the network.
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_CURL": "OFF",
}

VARIANTS: dict[str, tuple[str, ...]] = {
    # AVX2: Intel since 2013, AMD since 2015. AVX-512. AVX-512 with VNNI: Intel since 2019, AMD since Zen 4. AMX.
    "x86_64": ("haswell", "skylakex", "icelake", "sapphirerapids"),
    # Products of 8-bit integers: Neoverse N1. Half precision and SVE: A64FX. 8-bit matrix products: Neoverse V1.
    "aarch64": ("armv8.2_1", "armv8.2_3", "armv8.6_1"),
}
"""The kinds of processors that a build holds code for, by architecture, by llama.cpp's names; the oldest first.

llama.cpp has more kinds. Each takes about half a minute of processor time to compile, and these are the ones that
differ in speed.
"""

CPUINFO = Path("/proc/cpuinfo")
NEEDED = {"x86_64": {"sse4_2", "avx", "avx2", "bmi2", "fma", "f16c"}, "aarch64": {"asimddp"}}
"""The instructions of the oldest kind, by their names in /proc/cpuinfo, by architecture."""

COMPILERS = (("CC", "cc", "c"), ("CXX", "c++", "c++"))
"""(variable with another command, default command, language) of the compilers, as CMake chooses them."""


def variants() -> tuple[str, ...]:
    """Return the kinds of processors that a build on this machine holds code for.

    Raises:
        SetupError: if none are declared for the architecture.
    """
    machine = platform.machine()
    if machine not in VARIANTS:
        raise SetupError(
            f"llama.cpp is built for {' and '.join(VARIANTS)}, and this machine is {machine}: declare its kinds of "
            "processors in deploy/setup/native/llama_cpp/flags.py."
        )
    return VARIANTS[machine]


def check_processor(cpuinfo: Path = CPUINFO) -> None:
    """Raise SetupError if this processor lacks instructions of the oldest kind: llama.cpp would have no code for it."""
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


def digest_of(version: str, flags: dict[str, str], variants: tuple[str, ...], macros: list[str]) -> str:
    """Return the sha256, in hexadecimal, of everything that decides what a build computes."""
    content = {"version": version, "flags": flags, "variants": variants, "macros": macros}
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def build_digest(version: str) -> str:
    """Return the digest of a build of llama.cpp `version` on this machine."""
    macros = [
        predefined_macros(os.environ.get(variable) or command, language) for variable, command, language in COMPILERS
    ]
    return digest_of(version, FLAGS, variants(), macros)

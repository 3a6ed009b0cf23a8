"""Checks the machine code of the CUDA kernels. Needs no GPU.

    python scripts/check_sass.py [MODULE] [--architectures sm_80 sm_90 sm_100] [--require]

Disassembles the compiled module and fails, with the kernels' names, where one uses local memory (a
stack frame, spilled registers, LDL or STL), where it reaches memory through anything but shared
memory and the coalesced copies of csrc/cuda/staging.cuh, or where an architecture lacks kernels.

Needs cuobjdump and nvdisasm: from the CUDA toolkit, or
``pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm``. Exit status: 0 where all is well or
nothing could be checked, 1 where something is wrong; with --require, 2 where nothing could be.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")

#: How each storage type may reach global memory: see staging.cuh for why that is coalesced.
#: Two-byte numbers travel in pairs (LDG.E, STG.E), and alone where a batch or an address is odd.
ALLOWED = {
    "float": {"LDGSTS.E", "STG.E"},
    "double": {"LDGSTS.E.64", "STG.E.64"},
    "Half": {"LDG.E", "STG.E", "LDG.E.U16", "STG.E.U16"},
    "BFloat16": {"LDG.E", "STG.E", "LDG.E.U16", "STG.E.U16"},
}
_MANGLED = {"f": "float", "d": "double", "NS_4HalfE": "Half", "NS_8BFloat16E": "BFloat16"}
_GLOBAL = ("LDG", "STG", "LDGSTS", "LD", "ST", "ATOM", "ATOMG", "RED", "REDG", "UBLKCP")
_LOCAL = ("LDL", "STL")

_KERNEL = re.compile(
    r"_ZN6poseda11tile_kernelINS_\d+([A-Za-z]+?)(?:ILi(\d)E(?:NS_5PairsE)?E)?E(f|d|NS_\d+\w+?E)E"
)
_INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")


@dataclass
class Kernel:
    """What the machine code of one kernel says.

    Attributes:
        name: the mangled name.
        registers: of one thread.
        stack: bytes of stack and of local memory of one thread.
        instructions: how often each instruction that reaches memory stands in the code.
    """

    name: str
    registers: int = 0
    stack: int = 0
    instructions: Counter[str] = field(default_factory=Counter)

    @property
    def label(self) -> str:
        """The op with its dimension, and the storage type: "Kcs<3> float"."""
        found = _KERNEL.match(self.name)
        if not found:
            return self.name
        op, dimension, storage = found.groups()
        return f"{op}{f'<{dimension}>' if dimension else ''} {_MANGLED.get(storage, storage)}"

    def complaints(self) -> list[str]:
        """What is wrong with it."""
        allowed = ALLOWED.get(self.label.split()[-1])
        if allowed is None:
            return ["not a kernel that this check knows"]
        wrong = [f"{self.stack} bytes of stack or local memory"] if self.stack else []
        for instruction, count in sorted(self.instructions.items()):
            stem = instruction.split(".")[0]
            if stem in _LOCAL or (stem in _GLOBAL and instruction not in allowed):
                wrong.append(f"{count} x {instruction}")
        return wrong


def read_resources(text: str) -> dict[str, Kernel]:
    """The kernels in the output of ``cuobjdump -res-usage``."""
    kernels = {}
    pattern = r"Function (\S+):\s*\n\s*REG:(\d+) STACK:(\d+).*? LOCAL:(\d+)"
    for name, registers, stack, local in re.findall(pattern, text):
        kernels[name] = Kernel(name, int(registers), int(stack) + int(local))
    return kernels


def read_instructions(text: str, kernels: dict[str, Kernel]) -> None:
    """Adds the instructions that reach memory, from the output of ``cuobjdump -sass``."""
    current: Kernel | None = None
    for line in text.splitlines():
        if "Function : " in line:
            name = line.split("Function : ")[1].strip()
            current = kernels.setdefault(name, Kernel(name))
            continue
        found = _INSTRUCTION.match(line)
        if found and current is not None and found[1].split(".")[0] in _GLOBAL + _LOCAL:
            current.instructions[found[1]] += 1


def find_tools() -> dict[str, str] | None:
    """The environment in which cuobjdump and nvdisasm are found; None where they are not."""
    packaged = Path(sysconfig.get_paths()["purelib"], "nvidia").glob("*/bin")
    folders = [*packaged, Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    if all(shutil.which(tool, path=path) for tool in ("cuobjdump", "nvdisasm")):
        return {**os.environ, "PATH": path}
    return None


def find_module() -> Path | None:
    """The compiled module of poseda_ext that is installed."""
    found = importlib.util.find_spec("poseda_ext._C")
    return Path(found.origin) if found and found.origin else None


def disassemble(module: Path, architecture: str, environment: dict[str, str]) -> list[Kernel]:
    """The kernels of the module for an architecture.

    Raises:
        subprocess.CalledProcessError: where the module holds none.
    """

    def run(option: str) -> str:
        command = ["cuobjdump", option, "-arch", architecture, str(module)]
        tool = shutil.which(command[0], path=environment["PATH"]) or command[0]
        done = subprocess.run(
            [tool, *command[1:]], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    kernels = read_resources(run("-res-usage"))
    read_instructions(run("-sass"), kernels)
    return list(kernels.values())


def report(architecture: str, kernels: Sequence[Kernel]) -> list[str]:
    """Prints a line, and returns what is wrong."""
    total: Counter[str] = Counter()
    for kernel in kernels:
        total += kernel.instructions
    most = max(kernels, key=lambda kernel: kernel.registers, default=None)
    if most is None:
        return [f"{architecture}: no kernels"]
    used = ", ".join(f"{count} {name}" for name, count in sorted(total.items()))
    print(
        f"{architecture}: {len(kernels)} kernels, at most {most.registers} registers "
        f"({most.label}), {used}"
    )
    return [f"{architecture} {k.label}: {wrong}" for k in kernels for wrong in k.complaints()]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="?", type=Path, help="the installed one if not given")
    parser.add_argument("--architectures", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--require", action="store_true", help="fail where nothing can be checked")
    args = parser.parse_args(arguments)
    module, environment = args.module or find_module(), find_tools()
    if module is None or environment is None:
        missing = "compiled module" if module is None else "cuobjdump with nvdisasm"
        print(f"check_sass: nothing checked, no {missing} found", file=sys.stderr)
        return 2 if args.require else 0
    wrong: list[str] = []
    names: dict[str, set[str]] = {}
    for architecture in args.architectures:
        try:
            kernels = disassemble(module, architecture, environment)
        except subprocess.CalledProcessError as error:
            wrong.append(f"{architecture}: {error.stderr.strip()}")
            continue
        names[architecture] = {kernel.name for kernel in kernels}
        wrong += report(architecture, kernels)
    if len({frozenset(found) for found in names.values()}) > 1:
        wrong.append("the architectures differ in their kernels")
    print("\n".join(wrong) or "no local memory, no stack, every global access coalesced")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

"""The SIMD kernels on a 64-bit Arm processor, cross-compiled and emulated."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "csrc"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
COMMAND = (
    *(COMPILER, "-std=c++17", "-O2", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi"),
    *("-I", str(SOURCES)),
)

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None or shutil.which(EMULATOR) is None,
    reason="needs g++-aarch64-linux-gnu and qemu-user-static",
)


@pytest.mark.parametrize(
    "source", sorted(SOURCES.glob("cpu/*_cpu.cpp")), ids=lambda path: path.stem
)
def test_every_op_compiles_for_an_arm_processor(source: Path) -> None:
    subprocess.run([*COMMAND, "-c", str(source), "-o", "/dev/null"], check=True)


def test_kernels_on_an_arm_processor(tmp_path: Path) -> None:
    program = tmp_path / "kernels"
    made = ["-static", str(HERE / "cpu_kernel_alone.cpp"), "-o", str(program)]
    subprocess.run([*COMMAND, *made], check=True)
    ran = subprocess.run([EMULATOR, str(program)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr

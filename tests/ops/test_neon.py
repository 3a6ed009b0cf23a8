"""The SIMD kernels on a 64-bit Arm processor, cross-compiled and emulated."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def test_kernels_on_an_arm_processor(tmp_path: Path) -> None:
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64-static")
    if compiler is None or emulator is None:
        pytest.skip("needs g++-aarch64-linux-gnu and qemu-user-static")
    program = tmp_path / "kernels"
    command = [
        *(compiler, "-std=c++17", "-O2", "-static", "-ffp-contract=fast", "-fno-math-errno"),
        *("-Wno-psabi", "-I", str(HERE.parents[1] / "csrc")),
        *(str(HERE / "cpu_kernel_alone.cpp"), "-o", str(program)),
    ]
    subprocess.run(command, check=True)
    ran = subprocess.run([emulator, str(program)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr

"""The CUDA kernel itself, compiled for the CPU with a thread per CUDA thread: needs no GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def test_kernel_stages_every_number(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ on this machine")
    for header in ("cuda_bf16.h", "cuda_fp16.h", "cuda_pipeline.h"):
        (tmp_path / header).touch()  # what the kernel needs of them is in the program
    program = tmp_path / "kernel"
    command = [
        *(compiler, "-std=c++20", "-O1", "-pthread", "-fsanitize=address,undefined"),
        *("-fno-sanitize-recover", "-Wno-unknown-pragmas"),
        *("-I", str(HERE.parents[1] / "csrc"), "-I", str(tmp_path)),
        *(str(HERE / "cuda_kernel_on_cpu.cpp"), "-o", str(program)),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    if "cannot find" in built.stderr:
        pytest.skip("the compiler's sanitizers are not installed")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr

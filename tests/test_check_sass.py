"""The check of the CUDA machine code: what it reads, what it refuses, and the installed module."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import poseda_ext

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "check_sass.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_sass", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_sass"] = module
    spec.loader.exec_module(module)
    return module


check_sass = _load()

GPA = "_ZN6poseda11tile_kernelINS_3GpaEfEEvT_NS_6FieldsEii"
KCS = "_ZN6poseda11tile_kernelINS_3KcsILi3ENS_5PairsEEENS_8BFloat16EEEvT_NS_6FieldsEii"
USAGE = f"""
 Function {GPA}:
  REG:32 STACK:0 SHARED:1024 LOCAL:0 CONSTANT[0]:908 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function {KCS}:
  REG:40 STACK:0 SHARED:1024 LOCAL:0 CONSTANT[0]:908 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
SASS = f"""
		Function : {GPA}
        /*0000*/                   LDC R1, c[0x0][0x28] ;      /* 0x00000a00ff017b82 */
        /*0010*/              @!P0 LDGSTS.E [R23], desc[UR10][R12.64] ;   /* 0x0 */
        /*0020*/                   LDS R11, [R11] ;            /* 0x0 */
        /*0030*/                   STG.E desc[UR10][R8.64], R15 ;         /* 0x0 */
		Function : {KCS}
        /*0000*/                   LDG.E R1, desc[UR10][R12.64] ;         /* 0x0 */
        /*0010*/                   STG.E.U16 desc[UR10][R8.64], R15 ;     /* 0x0 */
"""


def _kernels(usage: str = USAGE, sass: str = SASS) -> dict[str, list[str]]:
    kernels = check_sass.read_resources(usage)
    check_sass.read_instructions(sass, kernels)
    return {kernel.label: kernel.complaints() for kernel in kernels.values()}


def test_reads_kernels() -> None:
    assert _kernels() == {"Gpa float": [], "Kcs<3> BFloat16": []}
    kernel = check_sass.read_resources(USAGE)[KCS]
    assert kernel.registers == 40 and kernel.stack == 0


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("STACK:0", "STACK:16", "16 bytes of stack or local memory"),
        ("LOCAL:0", "LOCAL:8", "8 bytes of stack or local memory"),
        ("LDS R11", "LDL R11", "1 x LDL"),
        ("LDS R11", "@P1 STL.64 R11", "1 x STL.64"),
        ("LDGSTS.E ", "LDG.E ", "1 x LDG.E"),
        ("STG.E desc", "STG.E.U8 desc", "1 x STG.E.U8"),
        ("STG.E desc", "RED.E.ADD.F32 desc", "1 x RED.E.ADD.F32"),
        ("STG.E desc", "ST.E desc", "1 x ST.E"),
    ],
)
def test_refuses(old: str, new: str, complaint: str) -> None:
    found = _kernels(USAGE.replace(old, new, 1), SASS.replace(old, new, 1))
    assert found == {"Gpa float": [complaint], "Kcs<3> BFloat16": []}


def test_refuses_an_unknown_kernel() -> None:
    found = _kernels(USAGE.replace(GPA, "_Z5otherv"), SASS.replace(GPA, "_Z5otherv"))
    assert found["_Z5otherv"] == ["not a kernel that this check knows"]


def test_installed_module() -> None:
    if not poseda_ext.build_info()["cuda"]:
        pytest.skip("the CUDA kernels are not built")
    if check_sass.find_tools() is None:
        pytest.skip("no cuobjdump with nvdisasm on this machine")
    command = [sys.executable, str(SCRIPT), "--require", "--architectures", "sm_90"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("sm_90: ")

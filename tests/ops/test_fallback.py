"""Without a compiled kernel the ops run as plain torch, say so once, and give the same results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import poseda_ext
from poseda_ext import reference

_WITHOUT = """
import sys, warnings
import torch
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "missing":
    sys.modules["poseda_ext._C"] = None
import poseda_ext
from op_cases import CASES, MAIN, assert_gradients, assert_same, gradients, require_grad

info = poseda_ext.build_info()
assert info["backend"] == "reference", info
assert sys.argv[3] in info["reason"], info
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for case in CASES:
        sample = case.sample((3,))
        a, b = require_grad(sample), require_grad(sample)
        got, expected = case.call(a), case.reference(b)
        assert_same(got, expected)
        assert_gradients(gradients(got, a), gradients(expected, b))
        if sys.argv[2] == "missing" or case not in MAIN:
            continue
        tensors = [t.requires_grad_() for t in case.sample((1,)).values()]
        function = case.function(list(sample))
        assert torch.autograd.gradgradcheck(function, tensors, fast_mode=True)
mine = [w for w in caught if "plain-torch reference" in str(w.message)]
assert len(mine) == 1, mine
"""


@pytest.mark.parametrize(
    ("how", "reason"), [("asked", "POSEDA_REFERENCE is set"), ("missing", "could not be imported")]
)
def test_reference_runs_in_place_of_the_kernels(how: str, reason: str) -> None:
    environment = {**os.environ, "POSEDA_REFERENCE": "1" if how == "asked" else "0"}
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", _WITHOUT, here, how, reason], check=True, env=environment)


def test_build_info_names_the_backend() -> None:
    info = poseda_ext.build_info()
    assert info["backend"] in ("compiled", "reference")
    assert (info["backend"] == "reference") == bool(info["reason"])


def test_kernels_use_the_constants_of_the_reference() -> None:
    info = poseda_ext.build_info()
    if info["backend"] != "compiled":
        pytest.skip("the compiled extension is not built")
    assert info["constants"] == {name: getattr(reference, name) for name in info["constants"]}
    assert len(info["constants"]) == 5


def test_meta_tensors_have_shapes_only() -> None:
    pose = torch.empty(4, 16, 3, device="meta")
    assert poseda_ext.kcs(pose).shape == (4, 15, 15)

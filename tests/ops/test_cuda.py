"""What only a GPU can show: streams, graph capture and repeatability."""

from __future__ import annotations

import pytest
import torch
from op_cases import CASES, IDS, Case, assert_same, gradients, require_grad

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_runs_on_the_current_stream(case: Case) -> None:
    inputs = case.sample((4096,), torch.float32, "cuda")
    expected = case.reference(inputs)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late = {name: tensor.clone() for name, tensor in inputs.items()}
        got = case.call(late)
    stream.synchronize()
    assert_same(got, expected)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_graph_capture(case: Case) -> None:
    static = require_grad(case.sample((512,), torch.float32, "cuda"))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        outputs = case.call(static)
        weights = [torch.randn_like(o) for o in outputs]
        torch.autograd.grad(outputs, list(static.values()), weights)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = case.call(static)
        grads = torch.autograd.grad(outputs, list(static.values()), weights)
    fresh = case.sample((512,), torch.float32, "cuda")
    with torch.no_grad():
        for name in static:
            static[name].copy_(fresh[name])
    graph.replay()
    inputs = require_grad(fresh)
    expected = case.reference(inputs)
    assert_same(tuple(o.detach() for o in outputs), tuple(e.detach() for e in expected))
    assert_same(grads, torch.autograd.grad(expected, list(inputs.values()), weights))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_two_runs_are_bit_identical(case: Case) -> None:
    sample = case.sample((4096,), torch.float32, "cuda")
    results = []
    for _ in range(2):
        inputs = require_grad(sample)
        outputs = case.call(inputs)
        results.append([*outputs, *gradients(outputs, inputs).values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_cpu_and_cuda_agree() -> None:
    case = CASES[0]
    sample = case.sample((1000,), torch.float32)
    cuda = {name: tensor.cuda() for name, tensor in sample.items()}
    assert_same(tuple(o.cpu() for o in case.call(cuda)), case.call(sample))

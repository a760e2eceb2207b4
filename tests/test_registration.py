# SPDX-License-Identifier: Apache-2.0
"""What torch needs to know of the ops: opcheck, compile, export, vmap, CUDA graphs."""

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import darkpose_ext
from conftest import ABSENT
from darkpose_ext import gaussian_taps
from samples import DTYPES, LAYOUTS, LEADING, STRIDED, made_maps
from tolerances import LOSS, PIXELS, assert_within

K, HEIGHT, WIDTH = 4, 12, 10
TAPS = gaussian_taps(1.0)
FLIP = [1, 0, 3, 2]


def inputs(
    leading: tuple[int, ...], device: str, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Tensors for every op."""
    maps = made_maps("noisy", 2 * K * math.prod(leading), HEIGHT, WIDTH).to(device, dtype)
    maps, flipped = maps.view(2, *leading, K, HEIGHT, WIDTH)
    return {
        "heatmaps": maps,
        "flipped": flipped,
        "joints": (torch.rand(*leading, K, 2) * 14 - 2).to(device),
        "weights": torch.randint(0, 2, (*leading, K)).float().to(device),
        "transform": (torch.eye(2, 3) + 0.1 * torch.randn(*leading, 2, 3)).to(device),
    }


# The arguments of every op: those that are tensors by name, and the others.
OPS: dict[str, tuple[list[str], list[Any], dict[str, Any]]] = {
    "encode": (["joints", "weights"], [HEIGHT, WIDTH, 1.0], {"rounding": "round"}),
    "modulate": (["heatmaps"], [TAPS], {"rescale": "max"}),
    "decode": (["heatmaps"], [TAPS], {"flip_index": FLIP, "flip_shift": 1, "border": "fit"}),
    # With radius 0 there are always k: where there are fewer, NaN equals nothing.
    "decode_peaks": (["heatmaps"], [TAPS, 3], {"radius": 0, "flip_index": FLIP, "flip_shift": 1}),
    "heatmap_mse": (["heatmaps", "joints", "weights"], [1.0], {"truncate": True}),
    "heatmap_mse_backward": (["weights", "heatmaps", "joints", "weights"], [1.0], {}),
}


def arguments_of(op: str, t: dict[str, Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    tensors, numbers, options = OPS[op]
    if op != "modulate":
        options = {**options, "transform": t["transform"]}
    if op in ("decode", "decode_peaks"):
        options = {**options, "flipped": t["flipped"]}
    return (*(t[name] for name in tensors), *numbers), options


def caller(op: str) -> Callable[[dict[str, Tensor]], Any]:
    def call(t: dict[str, Tensor]) -> Any:
        arguments, options = arguments_of(op, t)
        return getattr(torch.ops.dark, op)(*arguments, **options)

    return call


CALLS = {op: caller(op) for op in OPS if op != "heatmap_mse_backward"}
each_call = pytest.mark.parametrize("op", CALLS)
heatmap_mse = CALLS["heatmap_mse"]


def assert_same(actual: Any, expected: Any) -> None:
    """Compare a tensor, or several, with another computation of the same."""
    assert_within(actual, expected, PIXELS[torch.float32])


def gradient(function: Callable[[dict[str, Tensor]], Tensor], t: dict[str, Tensor]) -> Tensor:
    """Return the gradient of a function's sum for the heatmaps."""
    maps = t["heatmaps"].detach().requires_grad_()
    return torch.autograd.grad(function({**t, "heatmaps": maps}).sum(), maps)[0]


def assert_same_gradient(one: Callable[..., Any], other: Callable[..., Any], t: Any) -> None:
    assert_within(gradient(one, t), gradient(other, t), LOSS[torch.float32])


def opcheck(op: str, t: dict[str, Tensor], **more: Any) -> None:
    arguments, options = arguments_of(op, t)
    torch.library.opcheck(getattr(torch.ops.dark, op).default, arguments, {**options, **more})


# opcheck itself cannot copy an empty tensor with gaps.
@pytest.mark.parametrize(
    ("leading", "layout"),
    [*((n, "contiguous") for n in (*LEADING, (0,))), ((2, 2), "channels_last"), ((3,), "sliced")],
    ids=str,
)
@pytest.mark.parametrize("op", OPS)
def test_opcheck_passes(device: str, op: str, leading: tuple[int, ...], layout: str) -> None:
    t = inputs(leading, device)
    for name in ("heatmaps", "flipped"):
        t[name] = LAYOUTS[layout](t[name])
    if op == "heatmap_mse":
        t["heatmaps"].requires_grad_()
    opcheck(op, t)


# The one op whose result has the strides of its argument.
@pytest.mark.parametrize("layout", STRIDED)
def test_opcheck_passes_for_the_gradient_of_any_layout(device: str, layout: str) -> None:
    t = inputs((2, 1, 3), device)
    opcheck("heatmap_mse_backward", {**t, "heatmaps": STRIDED[layout](t["heatmaps"])})


@pytest.mark.parametrize("layout", ["channels_last", "sliced", "expanded", "permuted"])
def test_compiled_gradient_lies_in_memory_as_the_heatmaps(device: str, layout: str) -> None:
    t = inputs((2, 3), device)
    t["heatmaps"] = STRIDED[layout](t["heatmaps"])
    compiled = torch.compile(heatmap_mse, fullgraph=True, dynamic=True, backend="aot_eager")
    gradients = [gradient(function, t) for function in (compiled, heatmap_mse)]
    assert_within(*gradients, LOSS[torch.float32])
    assert {g.stride() for g in gradients} == {torch.empty_like(t["heatmaps"]).stride()}


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != torch.float32], ids=str)
@pytest.mark.parametrize("op", OPS)
def test_opcheck_passes_for_every_element_type(device: str, op: str, dtype: torch.dtype) -> None:
    opcheck(op, inputs((2,), device, dtype), **({"dtype": dtype} if op == "encode" else {}))


# A first batch of 2, 3 or K would be taken for the size of another dimension ("duck sizing").
BATCHES = (6, 2, 7, 3, 5)


@each_call
def test_one_compilation_serves_changing_batch_sizes(device: str, op: str) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(CALLS[op], fullgraph=True, dynamic=True, backend=counter)
    after = []
    for batch in BATCHES:
        t = inputs((batch,), device)
        assert_same(compiled(t), CALLS[op](t))
        after.append(counter.frame_count)
    # The first call may trace twice: torch tries lists of numbers as inputs, then as constants.
    assert after == after[:1] * len(BATCHES) and after[0] <= 2


def test_one_compilation_serves_changing_batch_sizes_in_training(device: str) -> None:
    counter = CompileCounterWithBackend("aot_eager")

    def loss(t: dict[str, Tensor]) -> Tensor:
        return torch.ops.dark.heatmap_mse(2 * t["heatmaps"], t["joints"], t["weights"], 1.0).mean()

    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=counter)
    for batch in BATCHES:
        assert_same_gradient(compiled, loss, inputs((batch,), device))
    assert counter.frame_count == 1


def test_the_public_functions_compile_with_taps_from_outside() -> None:
    def model(maps: Tensor) -> tuple[Tensor, Tensor]:
        return darkpose_ext.decode(darkpose_ext.modulate(maps, TAPS), TAPS)

    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in (6, 9):
        maps = torch.rand(batch, 3, 8, 7)
        assert_same(compiled(maps), model(maps))


def test_compiled_by_inductor_gives_the_same(device: str) -> None:
    # One graph with every op, and arithmetic before and after them to be fused.
    def everything(t: dict[str, Tensor]) -> list[Tensor]:
        targets, weights = CALLS["encode"](t)
        smooth = torch.ops.dark.modulate(t["heatmaps"] + 0.1 * targets, TAPS)
        coords, scores = CALLS["decode"]({**t, "heatmaps": smooth * 2})
        return [coords + 1, scores * weights, heatmap_mse(t).mean(-1)]

    compiled = torch.compile(everything, fullgraph=True, dynamic=True)
    for batch in (3, 5):
        t = inputs((batch,), device)
        assert_same(compiled(t), everything(t))


@each_call
def test_export_with_dynamic_batch_survives_saving(device: str, op: str) -> None:
    class Module(torch.nn.Module):
        def forward(self, t: dict[str, Tensor]) -> Any:
            return CALLS[op](t)

    t, file = inputs((3,), device), io.BytesIO()
    shapes = {"t": {name: {0: torch.export.Dim.AUTO} for name in t}}
    torch.export.save(torch.export.export(Module(), (t,), dynamic_shapes=shapes), file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for batch in (1, 2, 6):
        t = inputs((batch,), device)
        assert_same(loaded(t), CALLS[op](t))


@each_call
def test_vmap_equals_a_leading_dimension(device: str, op: str) -> None:
    t = inputs((5, 2), device)
    expected = CALLS[op](t)
    assert_same(torch.vmap(CALLS[op])(t), expected)
    assert_same(torch.vmap(torch.vmap(CALLS[op]))(t), expected)


@pytest.mark.parametrize("dim", [1, 2, -1])
def test_vmap_over_an_inner_dimension(device: str, dim: int) -> None:
    maps = inputs((5,), device)["heatmaps"]
    moved = maps.movedim(0, dim)
    actual = torch.vmap(lambda h: torch.ops.dark.decode(h, TAPS), in_dims=dim)(moved)
    assert_same(actual, torch.ops.dark.decode(maps, TAPS))


def test_vmap_with_a_tensor_that_is_not_mapped(device: str) -> None:
    t = inputs((5,), device)
    joints, weights = t["joints"][0], t["weights"][0]

    def loss(maps: Tensor) -> Tensor:
        return torch.ops.dark.heatmap_mse(maps, joints, weights, 1.0)

    expected = torch.stack([loss(maps) for maps in t["heatmaps"]])
    assert_same(torch.vmap(loss)(t["heatmaps"]), expected)


def test_gradient_of_vmap_equals_that_of_the_batch(device: str) -> None:
    assert_same_gradient(torch.vmap(heatmap_mse), heatmap_mse, inputs((4,), device))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
def test_gradient_of_vmap_lies_in_memory_as_the_maps_of_each(device: str, layout: str) -> None:
    t = inputs((4,), device)
    t["heatmaps"] = LAYOUTS[layout](t["heatmaps"])
    ones = torch.ones_like(t["weights"])

    def gradient(maps: Tensor, *others: Tensor) -> Tensor:
        return torch.ops.dark.heatmap_mse_backward(others[0], maps, *others[1:], 1.0)

    arguments = (t["heatmaps"], ones, t["joints"], t["weights"])
    actual = torch.vmap(gradient)(*arguments)
    assert actual.stride() == torch.empty_like(t["heatmaps"]).stride()
    assert torch.equal(actual, gradient(*arguments))


needs_gpu = pytest.mark.skipif("cuda" in ABSENT, reason=ABSENT.get("cuda", ""))


@needs_gpu
def test_cuda_graphs_replay_the_ops() -> None:
    for call in CALLS.values():
        t, other = inputs((4,), "cuda"), inputs((4,), "cuda")
        call(t)  # the library loads its kernels on the first call
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = call(t)
        for name, value in other.items():
            t[name].copy_(value)
        graph.replay()
        torch.cuda.synchronize()
        assert_same(result, call(other))


@needs_gpu
def test_ops_on_cuda_do_not_wait_for_it() -> None:
    before = torch.cuda.get_sync_debug_mode()
    for call in CALLS.values():
        t = inputs((4,), "cuda")
        call(t)
        torch.cuda.set_sync_debug_mode("error")
        try:
            call(t)
        finally:
            torch.cuda.set_sync_debug_mode(before)

# SPDX-License-Identifier: Apache-2.0
"""What torch needs to know of the ops: opcheck, compile, export, vmap, CUDA graphs."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from darkpose_ext import gaussian_taps
from samples import LAYOUTS, LEADING, STRIDED, made_maps
from tolerances import LOSS, PIXELS

K, HEIGHT, WIDTH = 4, 12, 10
TAPS = gaussian_taps(1.0)
FLIP = [1, 0, 3, 2]


def inputs(
    leading: tuple[int, ...], device: str, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Tensors for every op."""
    count = K
    for size in leading:
        count *= size
    maps = made_maps("noisy", 2 * count, HEIGHT, WIDTH).to(device, dtype)
    transform = torch.eye(2, 3) + 0.1 * torch.randn(*leading, 2, 3)
    return {
        "heatmaps": maps[:count].view(*leading, K, HEIGHT, WIDTH),
        "flipped": maps[count:].view(*leading, K, HEIGHT, WIDTH),
        "joints": (torch.rand(*leading, K, 2) * 14 - 2).to(device),
        "weights": torch.randint(0, 2, (*leading, K)).float().to(device),
        "transform": transform.to(device),
    }


def encode(t: dict[str, Tensor]) -> tuple[Tensor, ...]:
    return torch.ops.dark.encode(
        t["joints"], t["weights"], HEIGHT, WIDTH, 1.0, transform=t["transform"]
    )


def modulate(t: dict[str, Tensor]) -> Tensor:
    return torch.ops.dark.modulate(t["heatmaps"], TAPS)


def decode(t: dict[str, Tensor]) -> tuple[Tensor, ...]:
    return torch.ops.dark.decode(
        t["heatmaps"],
        TAPS,
        flipped=t["flipped"],
        flip_index=FLIP,
        flip_shift=1,
        transform=t["transform"],
    )


def heatmap_mse(t: dict[str, Tensor]) -> Tensor:
    return torch.ops.dark.heatmap_mse(
        t["heatmaps"], t["joints"], t["weights"], 1.0, transform=t["transform"]
    )


CALLS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "encode": encode,
    "modulate": modulate,
    "decode": decode,
    "heatmap_mse": heatmap_mse,
}


def assert_same(actual: Any, expected: Any) -> None:
    """Compare a tensor, or a tuple of them, with another computation of the same."""
    actual = actual if isinstance(actual, tuple | list) else (actual,)
    expected = expected if isinstance(expected, tuple | list) else (expected,)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=0, atol=PIXELS[torch.float32])


def opcheck_arguments(op: str, t: dict[str, Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    targets = (t["joints"], t["weights"])
    transform = {"transform": t["transform"]}
    return {
        "encode": ((*targets, HEIGHT, WIDTH, 1.0), {**transform, "rounding": "round"}),
        "modulate": ((t["heatmaps"], TAPS), {"rescale": "max"}),
        "decode": (
            (t["heatmaps"], TAPS),
            {**transform, "flipped": t["flipped"], "flip_index": FLIP, "flip_shift": 1},
        ),
        "heatmap_mse": ((t["heatmaps"], *targets, 1.0), {**transform, "truncate": True}),
        "heatmap_mse_backward": ((t["weights"], t["heatmaps"], *targets, 1.0), transform),
    }[op]


# opcheck itself cannot copy an empty tensor with gaps.
SHAPES = [(n, layout) for layout in ("contiguous", "channels_last", "sliced") for n in LEADING]


@pytest.mark.parametrize(("leading", "layout"), [*SHAPES, ((0,), "contiguous")], ids=str)
@pytest.mark.parametrize("op", [*CALLS, "heatmap_mse_backward"])
def test_opcheck_passes(device: str, op: str, leading: tuple[int, ...], layout: str) -> None:
    t = inputs(leading, device)
    for name in ("heatmaps", "flipped"):
        t[name] = LAYOUTS[layout](t[name])
    if op == "heatmap_mse":
        t["heatmaps"].requires_grad_()
    arguments, options = opcheck_arguments(op, t)
    torch.library.opcheck(getattr(torch.ops.dark, op).default, arguments, options)


# The one op whose result has the strides of its argument.
@pytest.mark.parametrize("leading", LEADING, ids=str)
@pytest.mark.parametrize("layout", STRIDED)
def test_opcheck_passes_for_the_gradient_of_any_layout(
    device: str, layout: str, leading: tuple[int, ...]
) -> None:
    t = inputs(leading, device)
    t["heatmaps"] = STRIDED[layout](t["heatmaps"])
    arguments, options = opcheck_arguments("heatmap_mse_backward", t)
    torch.library.opcheck(torch.ops.dark.heatmap_mse_backward.default, arguments, options)


@pytest.mark.parametrize("layout", STRIDED)
def test_compiled_gradient_lies_in_memory_as_the_heatmaps(device: str, layout: str) -> None:
    t = inputs((2, 3), device)
    gradients = []
    compiled = torch.compile(heatmap_mse, fullgraph=True, dynamic=True, backend="aot_eager")
    for function in (compiled, heatmap_mse):
        maps = STRIDED[layout](t["heatmaps"]).requires_grad_()
        (gradient,) = torch.autograd.grad(function({**t, "heatmaps": maps}).sum(), maps)
        assert gradient.stride() == torch.empty_like(maps).stride()
        gradients.append(gradient)
    torch.testing.assert_close(*gradients, rtol=0, atol=LOSS[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("op", [*CALLS, "heatmap_mse_backward"])
def test_opcheck_passes_for_every_element_type(device: str, op: str, dtype: torch.dtype) -> None:
    arguments, options = opcheck_arguments(op, inputs((2,), device, dtype))
    options = {**options, "dtype": dtype} if op == "encode" else options
    torch.library.opcheck(getattr(torch.ops.dark, op).default, arguments, options)


# A first batch of 2, 3 or K would be taken for the size of another dimension ("duck sizing").
BATCHES = (6, 2, 7, 3, 5)


@pytest.mark.parametrize("op", CALLS)
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

    def loss(maps: Tensor, joints: Tensor, weights: Tensor) -> Tensor:
        return torch.ops.dark.heatmap_mse(2 * maps, joints, weights, 1.0).mean()

    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=counter)
    for batch in BATCHES:
        t = inputs((batch,), device)
        gradients = []
        for function in (compiled, loss):
            maps = t["heatmaps"].clone().requires_grad_()
            function(maps, t["joints"], t["weights"]).backward()
            gradients.append(maps.grad)
        torch.testing.assert_close(*gradients, rtol=0, atol=LOSS[torch.float32])
    assert counter.frame_count == 1


def test_compiled_by_inductor_gives_the_same(device: str) -> None:
    # One graph with every op, and arithmetic before and after them to be fused.
    def everything(t: dict[str, Tensor]) -> list[Tensor]:
        targets, weights = encode(t)
        smooth = torch.ops.dark.modulate(t["heatmaps"] + 0.1 * targets, TAPS)
        coords, scores = decode({**t, "heatmaps": smooth * 2})
        return [coords + 1, scores * weights, heatmap_mse(t).mean(-1)]

    compiled = torch.compile(everything, fullgraph=True, dynamic=True)
    for batch in (3, 5):
        t = inputs((batch,), device)
        assert_same(compiled(t), everything(t))


class Pipeline(torch.nn.Module):
    """A network with its decoding inside, as it is deployed."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Conv2d(3, K, 3, padding=1)

    def forward(self, image: Tensor, transform: Tensor) -> tuple[Tensor, Tensor]:
        maps, mirrored = self.head(image), self.head(image.flip(-1))
        return torch.ops.dark.decode(
            maps, TAPS, flipped=mirrored, flip_index=FLIP, transform=transform
        )


def test_export_with_dynamic_batch_survives_saving(device: str) -> None:
    model = Pipeline().to(device).eval()
    batch = torch.export.Dim("batch")

    def sample(size: int) -> tuple[Tensor, Tensor]:
        image = torch.rand(size, 3, HEIGHT, WIDTH, device=device)
        return image, torch.eye(2, 3, device=device).repeat(size, 1, 1)

    with torch.no_grad():
        shapes = {"image": {0: batch}, "transform": {0: batch}}
        program = torch.export.export(model, sample(3), dynamic_shapes=shapes)
        file = io.BytesIO()
        torch.export.save(program, file)
        file.seek(0)
        loaded = torch.export.load(file).module()
        for size in (1, 2, 5):
            arguments = sample(size)
            assert_same(loaded(*arguments), model(*arguments))


@pytest.mark.parametrize("op", CALLS)
def test_export_with_dynamic_batch_gives_the_same(device: str, op: str) -> None:
    class Module(torch.nn.Module):
        def forward(self, t: dict[str, Tensor]) -> Any:
            return CALLS[op](t)

    t = inputs((3,), device)
    shapes = {"t": {name: {0: torch.export.Dim.AUTO} for name in t}}
    program = torch.export.export(Module(), (t,), dynamic_shapes=shapes).module()
    for batch in (2, 6):
        t = inputs((batch,), device)
        assert_same(program(t), CALLS[op](t))


@pytest.mark.parametrize("op", CALLS)
def test_vmap_equals_a_leading_dimension(device: str, op: str) -> None:
    t = inputs((5, 2), device)
    assert_same(torch.vmap(CALLS[op])(t), CALLS[op](t))


@pytest.mark.parametrize("op", CALLS)
def test_vmap_twice_equals_two_leading_dimensions(device: str, op: str) -> None:
    t = inputs((3, 2), device)
    assert_same(torch.vmap(torch.vmap(CALLS[op]))(t), CALLS[op](t))


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
    t = inputs((4,), device)
    gradients = []
    for function in (torch.vmap(heatmap_mse), heatmap_mse):
        maps = t["heatmaps"].clone().requires_grad_()
        function({**t, "heatmaps": maps}).sum().backward()
        gradients.append(maps.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=LOSS[torch.float32])


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


@pytest.mark.parametrize("op", CALLS)
def test_cuda_graph_replays_the_op(device: str, op: str) -> None:
    if device != "cuda":
        pytest.skip("CUDA graphs need CUDA")
    t, other = inputs((4,), device), inputs((4,), device)
    CALLS[op](t)  # the library loads its kernels on the first call
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = CALLS[op](t)
    for name, value in other.items():
        t[name].copy_(value)
    graph.replay()
    torch.cuda.synchronize()
    assert_same(result, CALLS[op](other))


@pytest.mark.parametrize("op", CALLS)
def test_op_does_not_wait_for_the_gpu(device: str, op: str) -> None:
    if device != "cuda":
        pytest.skip("only CUDA has something to wait for")
    t = inputs((4,), device)
    CALLS[op](t)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        CALLS[op](t)
    finally:
        torch.cuda.set_sync_debug_mode(before)

# SPDX-License-Identifier: Apache-2.0
"""What is timed: each op at a size, type and layout, and what a user would run instead.

`calls(case)` gives functions by name, all on the same data: `this` is the op; `amax`, `full` and
`copy` read, write and copy as many bytes as its maps have; the others are peers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

import darkpose_ext
from benchmarks import peers
from benchmarks.data import REAL, Inputs, inputs
from benchmarks.harness import Call
from benchmarks.peers import absent
from darkpose_ext import gaussian_taps, reference

SIGMA = 2.0
TAPS = 11  # of gaussian_taps(SIGMA), which are OpenCV's of that size
USUAL = "modulate of 32x17x64x48"  # a peer of modulate on other maps
FOR_GOALS = (USUAL, peers.SAPIENS)  # peers of single goals, not of every size


@dataclass(frozen=True)
class Case:
    """One op on one kind of input."""

    op: str  # a key of OPS
    batch: int = 32
    joints: int = 17
    height: int = 64
    width: int = 48
    dtype: str = "float32"  # of the maps
    layout: str = "contiguous"  # or "channels_last"
    data: str = "gaussian"  # Gaussians with noise; "noise", from 0 to 1; or one of REAL
    device: str = "cpu"
    sigma: float = SIGMA  # of the Gaussians, and of the taps

    @property
    def maps(self) -> int:
        """Return the number of maps of one tensor of them."""
        return self.batch * self.joints

    @property
    def pixels(self) -> int:
        """Return the number of values of one tensor of maps."""
        return self.maps * self.height * self.width

    @property
    def taps(self) -> list[float]:
        """Return the taps that maps are blurred with."""
        return gaussian_taps(self.sigma)

    def __str__(self) -> str:
        parts = [f"{self.batch}x{self.joints}x{self.height}x{self.width}"]
        parts += [self.dtype] * (self.dtype != "float32")
        parts += [self.layout] * (self.layout != "contiguous")
        parts += [self.data] * (self.data != "gaussian")
        parts += [f"sigma {self.sigma:g}"] * (self.sigma != SIGMA)
        return " ".join(parts)


def real(op: str, name: str, batch: int = 32, device: str = "cpu") -> Case:
    """Return a case of maps that a network really predicted."""
    return Case(op, batch, 14, REAL[name], REAL[name], data=name, device=device)


def calls(case: Case, names: Iterable[str] | None = None) -> dict[str, Call]:
    """Return the functions of these names, or all of a case's; what is missing here is left out."""
    given = inputs(case)
    known = _memory(given.maps) | OPS[case.op](case, given)
    wanted = list(known if names is None else names)
    return {name: known[name]() for name in wanted if name in known and not absent(name)}


def names(op: str) -> list[str]:
    """Return the names of an op and its peers, those included that are missing here."""
    small = Case(op, 1, 3, 8, 8)
    left_out = {"checked function", *FOR_GOALS}
    return [name for name in OPS[op](small, inputs(small)) if name not in left_out]


Makers = dict[str, Callable[[], Call]]
"""Functions that set a call up: only what is timed shall be compiled, moved or copied."""


def _memory(maps: Tensor) -> Makers:
    """What torch needs for the bytes of the maps, float32 whatever the maps are.

    Its reduction of half precision is bound by arithmetic.
    """
    plain = maps
    if maps.dtype != torch.float32 or not maps.is_contiguous():
        shape = (maps.shape[0] * maps.shape[1], maps[0, 0].nbytes // 4, 1)
        plain = torch.rand(shape, device=maps.device)
    return {
        "amax": lambda: lambda: plain.amax((-2, -1)),
        "full": lambda: lambda: torch.full(plain.shape, 0.5, device=plain.device),
        "copy": lambda: lambda: torch.empty_like(plain).copy_(plain),
    }


def _decode(case: Case, given: Inputs) -> Makers:
    maps, taps = given.maps, case.taps
    return {
        "this": lambda: lambda: torch.ops.dark.decode(maps, taps),
        "checked function": lambda: lambda: darkpose_ext.decode(maps, taps),
        "NumPy loop": lambda: peers.numpy_decode(maps, len(taps)),
        "torch twin": lambda: lambda: reference.decode(maps, taps),
        "compiled twin": lambda: partial(peers.compiled(reference.decode), maps, taps),
        "kornia soft-argmax": lambda: peers.soft_argmax(maps),
        peers.SAPIENS: lambda: peers.sapiens(maps, len(taps)),
    }


def _flip_decode(case: Case, given: Inputs) -> Makers:
    maps, flipped, transform = given.maps, given.flipped, given.transform
    taps, index = case.taps, given.flip_index

    def twin() -> object:
        return reference.decode(maps, taps, flipped=flipped, transform=transform, flip_index=index)

    return {
        "this": lambda: (
            lambda: torch.ops.dark.decode(maps, taps, flipped, transform, flip_index=index)
        ),
        "checked function": lambda: (
            lambda: darkpose_ext.decode(
                maps, taps, flipped=flipped, transform=transform, flip_index=index
            )
        ),
        "decode": lambda: lambda: torch.ops.dark.decode(maps, taps),
        "NumPy loop": lambda: peers.numpy_evaluate(
            maps, flipped, given.pairs, len(taps), transform
        ),
        "torch twin": lambda: twin,
        "compiled twin": lambda: peers.compiled(twin),
    }


def _decode_peaks(case: Case, given: Inputs) -> Makers:
    """Look for a joint's second answer; in noise, for ten."""
    maps, taps = given.maps, case.taps
    k, radius, threshold = (10, 3, 0.0) if case.data == "noise" else (2, 2, 0.1 * float(maps.max()))
    search = {"radius": radius, "threshold": threshold}
    return {
        "this": lambda: lambda: torch.ops.dark.decode_peaks(maps, taps, k, **search),
        "checked function": lambda: lambda: darkpose_ext.decode_peaks(maps, taps, k, **search),
        "decode": lambda: lambda: torch.ops.dark.decode(maps, taps),
        "torch twin": lambda: lambda: reference.decode_peaks(maps, taps, k, **search),
    }


def _modulate(case: Case, given: Inputs) -> Makers:
    maps, taps = given.maps, case.taps
    return {
        "this": lambda: lambda: torch.ops.dark.modulate(maps, taps),
        "checked function": lambda: lambda: darkpose_ext.modulate(maps, taps),
        "decode": lambda: lambda: torch.ops.dark.decode(maps, taps),
        USUAL: lambda: _usual_modulate(case),
        "OpenCV sepFilter2D": lambda: peers.opencv(maps, case.sigma, "sepFilter2D"),
        "OpenCV GaussianBlur": lambda: peers.opencv(maps, case.sigma, "GaussianBlur"),
        "OpenCV sepFilter2D, rescaled": lambda: peers.opencv(
            maps, case.sigma, "sepFilter2D", rescale=True
        ),
        "torch twin": lambda: lambda: reference.modulate(maps, taps),
        "compiled twin": lambda: partial(peers.compiled(reference.modulate), maps, taps),
    }


def usual(case: Case) -> Case:
    """Return the case of the usual maps, 32 people's, with as many taps."""
    return Case(case.op, dtype=case.dtype, device=case.device, sigma=case.sigma)


def _usual_modulate(case: Case) -> Call:
    maps, taps = inputs(usual(case)).maps, case.taps
    return lambda: torch.ops.dark.modulate(maps, taps)


def _encode(case: Case, given: Inputs) -> Makers:
    arguments = (given.joints, given.weights, case.height, case.width, case.sigma)
    dtype = getattr(torch, case.dtype)

    def twin() -> object:
        return reference.encode(*arguments, dtype=dtype)

    return {
        "this": lambda: lambda: torch.ops.dark.encode(*arguments, dtype=dtype),
        "checked function": lambda: lambda: darkpose_ext.encode(*arguments, dtype=dtype),
        "NumPy loop": lambda: peers.numpy_encode(given.joints, case.height, case.width, case.sigma),
        "torch twin": lambda: twin,
        "compiled twin": lambda: peers.compiled(twin),
    }


def _heatmap_mse(case: Case, given: Inputs) -> Makers:
    """Forward and backward; the plain loss is HRNet's: weighted maps, half the mean square."""
    maps = given.maps.detach().requires_grad_()
    target = (given.joints, given.weights, case.sigma)
    shape = (given.joints, given.weights, case.height, case.width, case.sigma)

    def step(loss: Callable[[], Tensor]) -> Call:
        def run() -> Tensor | None:
            maps.grad = None
            loss().backward()
            return maps.grad

        return run

    def rendered(encode: Callable[..., tuple[Tensor, Tensor]]) -> Tensor:
        targets, weights = encode(*shape, dtype=maps.dtype)
        weights = weights[..., None, None].to(maps.dtype)
        return 0.5 * mse_loss(weights * maps, weights * targets)

    def per_joint(loss: Callable[..., Tensor]) -> Call:
        return step(lambda: loss(maps, *target).mean())

    return {
        "this": lambda: per_joint(torch.ops.dark.heatmap_mse),
        "encode and mse_loss": lambda: step(lambda: rendered(torch.ops.dark.encode)),
        "twin's encode and mse_loss": lambda: step(lambda: rendered(reference.encode)),
        "torch twin": lambda: per_joint(reference.heatmap_mse),
        "compiled twin": lambda: per_joint(peers.compiled(reference.heatmap_mse)),
    }


def _heatmap_mse_forward(case: Case, given: Inputs) -> Makers:
    arguments = (given.maps, given.joints, given.weights, case.sigma)
    return {
        "this": lambda: lambda: torch.ops.dark.heatmap_mse(*arguments),
        "checked function": lambda: lambda: darkpose_ext.heatmap_mse(*arguments),
        "torch twin": lambda: lambda: reference.heatmap_mse(*arguments),
        "compiled twin": lambda: partial(peers.compiled(reference.heatmap_mse), *arguments),
    }


OPS: dict[str, Callable[[Case, Inputs], Makers]] = {
    "decode": _decode,
    "flip_decode": _flip_decode,
    "decode_peaks": _decode_peaks,
    "modulate": _modulate,
    "encode": _encode,
    "heatmap_mse": _heatmap_mse,
    "heatmap_mse_forward": _heatmap_mse_forward,
}


def inference(op: str) -> torch.inference_mode:
    """Return the mode an op is timed in: without autograd but for the loss with its gradient."""
    return torch.inference_mode(op != "heatmap_mse")

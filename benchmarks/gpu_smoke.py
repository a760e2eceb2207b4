# SPDX-License-Identifier: Apache-2.0
"""Whether this GPU's answers are right at all: each op against its twin, in seconds.

    python benchmarks/gpu_smoke.py [--emulated LIBRARY]

Every element type and layout, sizes of map that need more shared memory than every block has, a
stream of one's own and a graph. Stops at the first wrong value, which it names: there is no use in
tests and times of kernels that are wrong. With the emulated kernels' library it goes through the
same on the CPU, but for what needs the driver.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]
import tolerances  # noqa: E402
from benchmarks import gpu_crops  # noqa: E402
from darkpose_ext import gaussian_taps, opencv_taps, reference  # noqa: E402

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
PEOPLE, JOINTS, HEIGHT, WIDTH, SIGMA = 2, 17, 64, 48, 2.0
INDEX = [0, *(k + 1 if k % 2 else k - 1 for k in range(1, JOINTS))]  # left and right change places
# Height, width and taps whose launch asks for a little less than 48 KB of shared memory, which
# together with what the kernel always has is more; then maps that no shared memory holds.
NEAR_THE_LIMIT = ((72, 72, 13), (48, 100, 17), (100, 48, 17), (48, 108, 11), (84, 60, 11))
LARGE = (384, 288)

Results = dict[str, tuple[Tensor, Tensor, float]]
"""By name: the op's result, its twin's, the largest difference allowed."""
Launch = tuple[str, Callable[[], Results]]
"""What is launched, and the function that does."""


@dataclass(frozen=True)
class Place:
    """Where the ops run: the kernels, and the device of their tensors."""

    ops: Any
    device: str


def noisy(height: int, width: int, people: int = PEOPLE, joints: int = JOINTS) -> Tensor:
    """Return [people, joints, height, width] Gaussians with noise, in float64."""
    places = torch.rand(people, joints, 2, dtype=torch.float64) * torch.tensor((width, height))
    ones = torch.ones(people, joints, dtype=torch.float64)
    maps, _ = reference.encode(places, ones, height, width, SIGMA)
    return 0.8 * maps + 0.05 * torch.rand_like(maps)


def laid(maps: Tensor, layout: str, device: str) -> Tensor:
    """Return the maps on the device, their joints one after the other or side by side."""
    moved = maps.to(device)
    if layout == "channels_last":
        return moved.movedim(-3, -1).contiguous().movedim(-1, -3)
    return moved.contiguous()


def every_op(at: Place, dtype: torch.dtype, layout: str) -> Iterator[Launch]:
    """Yield each op on the same data."""
    maps, mirrored = (noisy(HEIGHT, WIDTH).to(dtype) for _ in range(2))
    joints = (torch.rand(PEOPLE, JOINTS, 2) * torch.tensor((WIDTH, HEIGHT))).to(dtype)
    weights = torch.ones(PEOPLE, JOINTS).to(dtype)
    weights[0, 1] = 0
    transform = torch.tensor([[0.9, 0.1, 1.0], [0.0, 1.1, -2.0]]).repeat(PEOPLE, 1, 1).to(dtype)
    flip: dict[str, Any] = {"flip_index": INDEX, "flip_shift": 1}
    taps, pixels = gaussian_taps(SIGMA), tolerances.PIXELS[dtype]
    put = partial(laid, layout=layout, device=at.device)
    on, matrix = [t.to(at.device) for t in (joints, weights)], transform.to(at.device)
    size, loss = (HEIGHT, WIDTH, SIGMA), (joints, weights, SIGMA)

    yield (
        "encode",
        lambda: compared(
            at.ops.encode(*on, *size, transform=matrix, dtype=dtype),
            reference.encode(joints, weights, *size, transform=transform, dtype=dtype),
            {"maps": tolerances.TARGETS[dtype], "weights": 0.0},
        ),
    )
    yield (
        "modulate",
        lambda: compared(
            at.ops.modulate(put(maps), taps),
            reference.modulate(maps, taps),
            {"maps": tolerances.BLURRED[dtype]},
        ),
    )

    def decoded(op: str, *k: int, flipped: bool = False, **options: Any) -> Results:
        ours, theirs = ({"flipped": put(mirrored)}, {"flipped": mirrored}) if flipped else ({}, {})
        read = maps + mirrored if k else maps  # of two people: noise tells no place to compare
        allowed = {"coordinates": pixels, "scores": pixels if flipped else 0.0}
        return compared(
            getattr(at.ops, op)(put(read), taps, *k, **ours, **options),
            getattr(reference, op)(read, taps, *k, **theirs, **options),
            {**allowed, "counts": 0.0} if k else allowed,
        )

    yield "decode", partial(decoded, "decode")
    yield "decode with flip test", partial(decoded, "decode", flipped=True, **flip)
    yield "decode at the border", partial(decoded, "decode", border="fit")
    yield "decode_peaks", partial(decoded, "decode_peaks", 2, radius=2)
    yield (
        "heatmap_mse",
        lambda: compared(
            at.ops.heatmap_mse(put(maps), *on, SIGMA),
            reference.heatmap_mse(maps, *loss),
            {"losses": tolerances.LOSS[dtype]},
        ),
    )
    gradient = reference.heatmap_mse_backward(weights, maps, *loss)
    unit = torch.finfo(dtype).eps * float(gradient.abs().max())  # in the last place of the largest
    yield (
        "heatmap_mse_backward",
        lambda: compared(
            at.ops.heatmap_mse_backward(on[1], put(maps), *on, SIGMA),
            gradient,
            {"gradients": tolerances.GRADIENT.get(dtype, unit)},
        ),
    )


def corners(at: Place) -> Iterator[Launch]:
    """Yield launches at the limits of the kernels."""

    def blurred(height: int, width: int, k: int) -> Results:
        maps, taps = noisy(height, width, 1, 3).float(), opencv_taps(k)
        allowed = {"maps": tolerances.BLURRED[torch.float32]}
        ours = at.ops.modulate(maps.to(at.device), taps)
        return compared(ours, reference.modulate(maps, taps), allowed)

    def found(height: int, width: int, k: int) -> Results:
        maps, taps = noisy(height, width, 1, 3).float(), opencv_taps(k)
        allowed = {"coordinates": tolerances.PIXELS[torch.float32], "scores": 0.0}
        ours = at.ops.decode(maps.to(at.device), taps)
        return compared(ours, reference.decode(maps, taps), allowed)

    for height, width, k in (*NEAR_THE_LIMIT, (HEIGHT, WIDTH, 63), (*LARGE, 11)):
        yield f"modulate {height}x{width}, {k} taps", partial(blurred, height, width, k)
    for height, width, k in ((HEIGHT, WIDTH, 63), (*LARGE, 11)):
        yield f"decode {height}x{width}, {k} taps", partial(found, height, width, k)


def crops(at: Place) -> Iterator[Launch]:
    """Yield crops, which have the bits of their twin's."""

    def cut(ours: Callable[[], Tensor], twin: Callable[[], Tensor]) -> Results:
        return compared(ours(), twin(), {"pixels": 0.0})

    for name, *both in gpu_crops.with_twins(at.ops.crop, at.device):
        yield name, partial(cut, *both)


def compared(actual: Any, twin: Any, allowed: dict[str, float]) -> Results:
    """Return the results of an op by name, with their twin's and the difference allowed."""
    if len(allowed) == 1:
        actual, twin = (actual,), (twin,)
    return {
        name: (a, t, largest)
        for (name, largest), a, t in zip(allowed.items(), actual, twin, strict=True)
    }


# ---- what needs the driver -----------------------------------------------------------------------


def calls(at: Place, maps: Tensor) -> dict[str, Callable[[], Any]]:
    """Return each op as a call on these maps."""
    weights = torch.ones(PEOPLE, JOINTS, device=maps.device)
    joints = torch.full((PEOPLE, JOINTS, 2), 20.5, device=maps.device)
    taps = gaussian_taps(SIGMA)
    first, matrix = torch.zeros(1, dtype=torch.int64, device=maps.device), 0.7 * torch.eye(2, 3)
    crop = partial(at.ops.crop, index=first, transform=matrix[None].to(maps), height=9, width=24)
    return {
        "crop": lambda: crop([(255 * maps[0, :3]).byte().movedim(0, -1)]),
        "encode": lambda: at.ops.encode(maps[..., :2, 0] * 9, weights, HEIGHT, WIDTH, SIGMA)[0],
        "modulate": lambda: at.ops.modulate(maps, taps),
        "decode": lambda: at.ops.decode(maps, taps)[0],
        "decode at the border": lambda: at.ops.decode(maps, taps, border="fit")[0],
        "decode_peaks": lambda: at.ops.decode_peaks(maps, taps, 2, radius=2)[0],
        "heatmap_mse": lambda: at.ops.heatmap_mse(maps, joints, weights, SIGMA),
        "heatmap_mse_backward": lambda: at.ops.heatmap_mse_backward(
            weights, maps, joints, weights, SIGMA
        ),
    }


def in_another_stream(at: Place) -> Iterator[Launch]:
    """Yield ops on maps that only arrive in a stream of one's own, behind a wait of 20 ms.

    A kernel of another stream would not wait for them, and see zeros.
    """
    late = noisy(HEIGHT, WIDTH).float().to(at.device)
    maps, stream = torch.zeros_like(late), torch.cuda.Stream()
    expected = calls(at, late)

    def run(op: str, call: Callable[[], Any]) -> Results:
        maps.zero_()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(40_000_000)
            maps.copy_(late)
            actual = call()
        stream.synchronize()
        return compared(actual, expected[op](), {"results": 0.0})

    for op, call in calls(at, maps).items():
        yield f"{op} in a second stream", partial(run, op, call)


def in_a_graph(at: Place) -> Iterator[Launch]:
    """Yield ops as a captured graph replays them, on other maps than it was captured with."""
    maps = noisy(HEIGHT, WIDTH).float().to(at.device)

    def run(call: Callable[[], Any]) -> Results:
        call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            replayed = call()
        maps.copy_(noisy(HEIGHT, WIDTH))
        graph.replay()
        torch.cuda.synchronize()
        return compared(replayed, call(), {"results": 0.0})

    for op, call in calls(at, maps).items():
        yield f"{op} in a graph", partial(run, call)


# ---- the verdict ---------------------------------------------------------------------------------


def check(what: str, results: Results) -> None:
    """Compare, and exit with a line that names the first wrong value."""
    for name, (actual, expected, allowed) in results.items():
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            got, wanted = ((tuple(t.shape), t.dtype) for t in (actual, expected))
            raise SystemExit(f"WRONG: {what}: {name} are {got}, expected {wanted}")
        error = (actual.cpu().double() - expected.cpu().double()).abs()
        largest = error.nan_to_num(torch.inf).max().item()  # neither has a NaN here
        if largest > allowed:
            raise SystemExit(
                f"WRONG: {what}: {name} differ by {largest:.3g} from the twin's, "
                f"at most {allowed:g} is allowed"
            )


def run(what: str, launches: Iterable[Launch]) -> int:
    """Check all of them and return how many; a refused launch is as wrong as a value."""
    checked = 0
    for name, launch in launches:
        try:
            check(f"{name}, {what}", launch())
        except RuntimeError as error:
            raise SystemExit(f"WRONG: {name}, {what}: {type(error).__name__}: {error}") from error
        checked += 1
    return checked


def main() -> None:
    """Check everything, print how much that was."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--emulated", type=Path, help="the library of the emulated kernels")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.emulated:
        torch.ops.load_library(options.emulated)
        at = Place(torch.ops.dark_emulated, "cpu")
    elif torch.cuda.is_available():
        at = Place(torch.ops.dark, "cuda")
    else:
        raise SystemExit("gpu_smoke: torch finds no CUDA device")
    began, checked = time.monotonic(), 0
    for dtype in DTYPES:
        for layout in ("contiguous", "channels_last"):
            name = f"{str(dtype).removeprefix('torch.')}, {layout}"
            checked += run(name, every_op(at, dtype, layout))
            print(f"right: every op, {name}", flush=True)
    checked += run("200 images", crops(at))
    checked += run("float32", corners(at))
    print("right: crops, maps and taps at the kernels' limits", flush=True)
    if at.device == "cuda":
        checked += run("float32", in_another_stream(at))
        checked += run("float32", in_a_graph(at))
        print("right: a second stream, a graph", flush=True)
    else:
        print("left out, for lack of a driver: a second stream, a graph", flush=True)
    print(f"{checked} launches were right, {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()

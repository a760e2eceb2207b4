# SPDX-License-Identifier: Apache-2.0
"""The functions for NumPy: the ops' results bit for bit, without torch and beside other threads."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import abi
import darkpose_ext
import darkpose_ext.numpy as dark
from darkpose_ext._values import METHODS, RESCALES, ROUNDINGS
from samples import made_maps, taps_of

K, HEIGHT, WIDTH = 3, 21, 30
KINDS = ("clean", "noisy", "negative_background", "isolated_spikes")
TYPES = (np.float16, np.float32, np.float64)
TAPS = darkpose_ext.gaussian_taps(2.0)
ROOT = Path(__file__).parents[1]
Array = NDArray[Any]


def heatmaps(kind: str = "noisy", dtype: Any = np.float32, people: int = 4) -> Array:
    """Return [B, K, H, W]."""
    maps = made_maps(kind, people * K, HEIGHT, WIDTH).view(people, K, HEIGHT, WIDTH)
    return maps.numpy().astype(dtype)


def assert_equal(found: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_same(found: tuple[Array, ...], expected: tuple[torch.Tensor, ...]) -> None:
    arrays = tuple(tensor.numpy() for tensor in expected)
    assert [type(ours) for ours in found] == [np.ndarray] * len(arrays)
    assert [ours.dtype for ours in found] == [array.dtype for array in arrays]
    assert_equal(found, arrays)


# ---- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_decode_gives_the_bits_of_the_op(method: str, kind: str, dtype: Any) -> None:
    maps, flipped = heatmaps(kind, dtype), heatmaps(kind, dtype)
    matrices = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    taps = taps_of(method, TAPS)
    options: dict[str, Any] = {"method": method, "flip_index": [1, 0, 2], "flip_shift": 1}
    arrays = {"heatmaps": maps, "flipped": flipped, "transform": matrices}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    expected = darkpose_ext.decode(taps=taps, **tensors, **options)
    assert_same(dark.decode(taps=taps, **arrays, **options), expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rescale", RESCALES)
def test_modulate_gives_the_bits_of_the_op(rescale: str, dtype: Any) -> None:
    maps = heatmaps(dtype=dtype)
    expected = darkpose_ext.modulate(torch.from_numpy(maps), TAPS, rescale=rescale)
    assert_same((dark.modulate(maps, TAPS, rescale=rescale),), (expected,))


@pytest.mark.parametrize("dtype", [None, *TYPES])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_encode_gives_the_bits_of_the_op(rounding: str, dtype: Any) -> None:
    joints = np.random.default_rng(0).uniform(-5, 35, (4, K, 2)).astype(np.float32)
    weights = np.ones((4, K), np.float32)
    options: dict[str, Any] = {"rounding": rounding, "truncate": rounding == "round"}
    ops_dtype = None if dtype is None else torch.from_numpy(np.empty(0, dtype)).dtype
    expected = darkpose_ext.encode(
        *map(torch.from_numpy, (joints, weights)), HEIGHT, WIDTH, 2.0, dtype=ops_dtype, **options
    )
    assert_same(dark.encode(joints, weights, HEIGHT, WIDTH, 2.0, dtype=dtype, **options), expected)


def test_bfloat16_of_ml_dtypes_is_read_and_written() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed").bfloat16
    maps = torch.from_numpy(heatmaps()).bfloat16()
    assert_same(
        dark.decode(maps.float().numpy().astype(bfloat16), TAPS), darkpose_ext.decode(maps, TAPS)
    )
    joints, weights = torch.rand(2, K, 2) * 20, torch.ones(2, K)
    expected, _ = darkpose_ext.encode(joints, weights, 9, 9, 2.0, dtype=torch.bfloat16)
    rendered, _ = dark.encode(joints.numpy(), weights.numpy(), 9, 9, 2.0, dtype=bfloat16)
    assert rendered.dtype == bfloat16
    np.testing.assert_array_equal(rendered.astype(np.float32), expected.float().numpy())


@pytest.mark.parametrize("threads", [2, 3, 1000])
def test_results_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    maps = heatmaps(people=3000)  # so many that the work is shared out
    assert_equal(dark.decode(maps, TAPS, threads=threads), dark.decode(maps, TAPS))
    assert_equal((dark.modulate(maps, TAPS, threads=threads),), (dark.modulate(maps, TAPS),))


# ---- arrays of any kind --------------------------------------------------------------------------


def misaligned(maps: Array) -> Array:
    memory = np.empty(maps.nbytes + 1, np.uint8)
    moved = np.frombuffer(memory.data, maps.dtype, maps.size, offset=1).reshape(maps.shape)
    moved[...] = maps
    assert not moved.flags.aligned
    return moved


LAYOUTS = {
    "channels last": lambda maps: np.moveaxis(np.moveaxis(maps, 1, -1).copy(), -1, 1),
    "column by column": lambda maps: np.asfortranarray(maps),
    "every other": lambda maps: np.repeat(maps, 2, axis=-1)[..., ::2],
    "upside down": lambda maps: maps[:, :, ::-1].copy()[:, :, ::-1],
    "big-endian": lambda maps: maps.astype(maps.dtype.newbyteorder(">")),
    "misaligned": misaligned,
    "read-only": lambda maps: maps.setflags(write=False) or maps,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_decode_does_not_depend_on_the_layout(layout: str) -> None:
    maps = heatmaps()
    laid = LAYOUTS[layout](maps.copy())
    assert_equal(dark.decode(laid, TAPS), dark.decode(maps, TAPS))
    assert_equal((dark.modulate(laid, TAPS),), (dark.modulate(maps, TAPS),))


def test_leading_dimensions_and_empty_batches_stay() -> None:
    maps = heatmaps().reshape(2, 2, K, HEIGHT, WIDTH)
    coords, scores = dark.decode(maps, TAPS)
    assert coords.shape == (2, 2, K, 2) and scores.shape == (2, 2, K)
    swapped, _ = dark.decode(maps.swapaxes(0, 1), TAPS)  # not one stride: copied
    np.testing.assert_array_equal(swapped, coords.swapaxes(0, 1))
    assert dark.decode(maps[:0], TAPS)[0].shape == (0, 2, K, 2)


def test_well_formed_arrays_are_read_where_they_lie() -> None:
    for layout in ("channels last", "column by column", "every other", "read-only"):
        maps = LAYOUTS[layout](heatmaps())
        assert np.shares_memory(dark._array("decode", "heatmaps", maps), maps)


@pytest.mark.parametrize("dtype", TYPES)
def test_misaligned_arrays_are_copied_before_they_are_read(dtype: Any) -> None:
    maps = heatmaps(dtype=dtype)
    points, ones = np.ones((4, K, 2), dtype), np.ones((4, K), dtype)
    matrices = np.tile(np.eye(2, 3, dtype=dtype), (4, 1, 1))
    for array in (maps, maps[:1, :1, :1, :1], points, ones, matrices):
        laid = misaligned(array)
        given = dark._array("decode", "heatmaps", laid)
        assert given.flags.aligned and given.dtype == dtype and not np.shares_memory(given, laid)
        np.testing.assert_array_equal(given, array)
    laid = dark.encode(misaligned(points), misaligned(ones), 9, 9, 2.0, transform=matrices)
    assert_equal(laid, dark.encode(points, ones, 9, 9, 2.0, transform=misaligned(matrices)))


def test_results_own_their_memory_and_can_be_written() -> None:
    maps = dark.modulate(heatmaps(), TAPS)
    kept = maps.copy()
    for _ in range(10):  # what had been freed would be used again
        dark.modulate(np.zeros_like(maps), TAPS)
    np.testing.assert_array_equal(maps, kept)
    maps += 1


# ---- beside other threads ------------------------------------------------------------------------


def test_other_threads_run_while_a_function_works() -> None:
    maps = heatmaps(people=4000)
    began, ended = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        for _ in range(5):
            dark.modulate(maps, TAPS)
        ended.set()

    worker = threading.Thread(target=work)
    worker.start()
    began.wait()
    turns = 0
    while not ended.is_set():
        time.sleep(0.001)
        turns += 1
    worker.join()
    assert turns > 20  # one for each of the five calls, if they held the lock


# ---- what is refused -----------------------------------------------------------------------------


HUGE, MAPS, TURNED, HIGH = 2**70, heatmaps(), np.zeros((4, 3, 2)), np.full((4, 2, 3), 1e300)
FLIP: dict[str, Any] = {"flipped": MAPS, "flip_index": [0, 1, HUGE]}


def joint(height: int, width: int, sigma: float = 2.0) -> Any:
    return dark.encode([[1.0, 2.0]], [1.0], height, width, sigma)


WRONG: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (ValueError, r"be \[..., K, H, W\]", lambda: dark.decode(np.zeros((3, 3)), [])),
    (TypeError, "got int64", lambda: dark.decode(np.zeros((1, 3, 3), int), [])),
    (TypeError, "heatmaps must be", lambda: dark.decode(np.zeros((1, 3, 3), np.longdouble), [])),
    (TypeError, "heatmaps must be float16", lambda: dark.decode([["a"]], [])),
    (ValueError, "height must fit in", lambda: joint(HUGE, 9)),
    (ValueError, "threads must fit in 64 bits", lambda: dark.decode(MAPS, [], threads=HUGE)),
    (ValueError, "flip_index must fit in 64 bits", lambda: dark.decode(MAPS, [], **FLIP)),
    (MemoryError, "does not fit", lambda: joint(2**22, 2**22)),
    (
        ValueError,
        r"than 2\^60 pixels, .* got \[1, 4611686018427387904, 1\]",
        lambda: joint(2**62, 1),
    ),
    (ValueError, "taps must be finite and symmetric, got", lambda: dark.modulate(MAPS, [1e300])),
    (ValueError, "in float64 alone, got 1e", lambda: dark.decode(MAPS, [], transform=HIGH)),
    (ValueError, "taps must be an odd number", lambda: dark.decode(MAPS, [0.5, 0.5])),
    (TypeError, "taps must be a list of numbers", lambda: dark.decode(MAPS, "taps")),
    (ValueError, "method must be one of", lambda: dark.decode(MAPS, [], method="soft")),
    (ValueError, "threads must be at least 1", lambda: dark.decode(MAPS, [], threads=0)),
    (ValueError, "need flipped, got none", lambda: dark.decode(MAPS, [], flip_shift=1)),
    (ValueError, r"transform .* \[4, 2, 3\] to", lambda: dark.decode(MAPS, [], transform=TURNED)),
    (ValueError, "at least 1, got 0 and 9", lambda: joint(0, 9)),
    (ValueError, "sigma must be positive", lambda: joint(9, 9, 0.0)),
    (ValueError, "taps must be an odd number", lambda: dark.modulate(MAPS, [])),
    (ValueError, "rescale must be one", lambda: dark.modulate(MAPS, TAPS, rescale="half")),
]


@pytest.mark.parametrize(("kind", "sentence", "call"), WRONG)
def test_a_wrong_argument_is_refused_in_one_sentence(
    kind: type[Exception], sentence: str, call: Callable[[], Any]
) -> None:
    with pytest.raises(kind, match=sentence) as refusal:
        call()
    assert len(str(refusal.value).splitlines()) == 1 and ".h" not in str(refusal.value)


@pytest.mark.parametrize("people", [0, 1, 2**22])
def test_sizes_whose_product_is_not_64_bits_are_refused(people: int) -> None:
    joints, weights = np.zeros((people, 2), np.float32), np.zeros(people, np.float32)
    with pytest.raises(ValueError, match=r"^encode: heatmaps must have fewer than 2\^60 pixels"):
        dark.encode(joints, weights, 2**30, 2**30, 2.0)


def test_floats_of_a_byte_are_refused() -> None:
    # Of ml_dtypes' one-byte types this one has NumPy's own kind of floats.
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    with pytest.raises(TypeError, match="heatmaps must be .* got float8_e5m2"):
        dark.decode(np.zeros((1, 9, 9), ml_dtypes.float8_e5m2), [])


# ---- without torch -------------------------------------------------------------------------------

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as if it were not installed
import darkpose_ext
from darkpose_ext import gaussian_taps, numpy as dark
maps, _ = dark.encode([[3.3, 2.8]], [1.0], 7, 8, sigma=1.0)
print(dark.decode(maps, gaussian_taps(1.0))[0].round(1).tolist())
for name in ("decode", "encode", "modulate", "heatmap_mse"):
    try:
        getattr(darkpose_ext, name)
    except ImportError as error:
        print(error)
print(hasattr(darkpose_ext, "anything"), [name for name in sys.modules if "torch" in name])
"""


def test_the_package_works_where_torch_is_not_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    coords, *refusals, rest = done.stdout.splitlines()
    assert coords == "[[3.3, 2.8]]"
    assert [line.split(":")[0] for line in refusals] == [
        f"darkpose_ext.{name} needs torch"
        for name in ("decode", "encode", "modulate", "heatmap_mse")
    ]
    assert rest == "False ['torch']"


def test_the_library_asks_for_neither_torch_nor_an_absolute_path() -> None:
    library = Path(dark._numpy.__file__)
    assert not [name for name in abi.needed_libraries(library) if "torch" in name or "c10" in name]
    assert abi.absolute_source_paths(library) == []

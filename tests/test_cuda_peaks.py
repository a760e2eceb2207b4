# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernel of the fit at the border, on a GPU and by emulation."""

import math

import pytest
import torch

from conftest import Implementation, present
from darkpose_ext import gaussian_taps, reference
from darkpose_ext.taps import fit_rule
from samples import DTYPES, LAYOUTS, made_maps
from tolerances import PIXELS, assert_within

if not present("gpu"):
    pytest.skip("neither a GPU nor emulated kernels", allow_module_level=True)

INDEX = [2, 0, 1]

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.mark.parametrize("shift", [None, 0, 1])
@each_dtype
def test_maxima_near_the_border_alone_are_fitted(
    gpu: Implementation, dtype: torch.dtype, shift: int | None
) -> None:
    taps, fitted = gaussian_taps(2.0), 0
    for kind, size in (("borders", (32, 24)), ("noisy", (9, 7)), ("plateaus", (16, 12))):
        maps, flipped = (made_maps(kind, 12, *size).view(4, 3, *size).to(dtype) for _ in "ab")
        maps[0, 0, 0, 0], maps[0, 1], maps[0, 2, 0, 0] = math.nan, -1, math.inf
        flip = {"flip_index": INDEX, "flip_shift": shift, "flipped": flipped}
        flip = {} if shift is None else flip
        expected = reference.decode(maps, taps, border="fit", **flip)
        for name in ("contiguous", "channels_last", "sliced"):
            laid = LAYOUTS[name](maps)
            flip |= {} if shift is None else {"flipped": LAYOUTS[name](flipped)}
            actual = gpu.decode(laid, taps, border="fit", **flip)
            assert_within(actual[0], expected[0], PIXELS[dtype], equal_nan=True)
            assert_within(actual[1], expected[1], 0, equal_nan=True)
        stayed, pixels = (
            gpu.decode(maps, given, method=method, **flip)[0]
            for given, method in ((taps, "dark"), ([], "argmax"))
        )
        last = torch.tensor(size).flip(0).to(pixels) - 1
        far = (torch.minimum(pixels, last - pixels) >= fit_rule(taps).margin).all(-1)
        assert_within(actual[0][far], stayed[far], 0)
        fitted += (actual[0] != stayed)[~far & ~stayed.isnan().any(-1)].any(-1).sum()
    assert fitted > 10

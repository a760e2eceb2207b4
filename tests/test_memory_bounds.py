# SPDX-License-Identifier: Apache-2.0
"""No CPU kernel reads beyond its tensors: vectors are wider than what is left of a map.

Tensors begin just behind, or end just before, a page that may not be read. That kills the process,
so it is one of its own, which names every case before it runs it, and reads such a page at last.
"""

import ctypes
import itertools
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from darkpose_ext._values import METHODS
from samples import DTYPES, LAYOUTS, made_maps

PROT_NONE = 0  # of <sys/mman.h>, which the module mmap has not
SHAPES = ((1, 1), (2, 3), (5, 7), (16, 15), (5, 16), (9, 33), (20, 24))
PEOPLE, JOINTS, SIGMA = 2, 11, 2.0  # joints: a vector and a rest
DONE = "and a page behind a tensor"


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's C library")
def test_kernels_read_nothing_before_or_behind_their_tensors() -> None:
    here = Path(__file__).parent
    path = {"PYTHONPATH": os.pathsep.join(map(str, (here.parent, here)))}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=os.environ | path, capture_output=True, text=True)
    assert done.stdout.endswith(f"{DONE}\n"), f"{done.stderr}\nthe last case: {done.stdout[-200:]}"
    assert done.returncode < 0  # it ends by reading such a page


def at_a_border(t: Tensor, at_end: bool) -> Tensor:
    """Return a copy with the same strides whose last or first element is next to such a page."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    span = 1 + sum((n - 1) * stride for n, stride in zip(t.shape, t.stride(), strict=True))
    size, page = span * t.element_size(), mmap.PAGESIZE
    inside = -(-size // page) * page
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    whole = libc.mmap(None, ctypes.c_size_t(inside + 2 * page), PROT_NONE, flags, -1, 0)
    begin = whole + page
    if libc.mprotect(ctypes.c_void_p(begin), ctypes.c_size_t(inside), 3) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    address = begin + (inside - size if at_end else 0)
    memory = (ctypes.c_char * size).from_address(address)
    return torch.frombuffer(memory, dtype=t.dtype).as_strided(t.shape, t.stride()).copy_(t)


def each_maps() -> Iterator[tuple[str, Tensor]]:
    for dtype, (height, width), layout in itertools.product(DTYPES, SHAPES, LAYOUTS):
        maps = made_maps("borders", PEOPLE * JOINTS, height, width).to(dtype)
        laid = LAYOUTS[layout](maps.view(PEOPLE, JOINTS, height, width))
        yield f"{dtype} {height}x{width} {layout}", laid


def run_every_op() -> None:
    """Call every op on tensors at either border, and print each call before."""
    ops = torch.ops.dark
    for (name, laid), at_end in itertools.product(each_maps(), (False, True)):

        def say(*what: object, name: str = name, at_end: bool = at_end) -> None:
            print(name, "at the end" if at_end else "at the beginning", *what, flush=True)

        dtype, (height, width) = laid.dtype, laid.shape[-2:]
        maps, flipped = at_a_border(laid, at_end), at_a_border(laid, at_end)
        size = torch.tensor((width, height))
        joints = at_a_border((torch.rand(PEOPLE, JOINTS, 2) * size).to(dtype), at_end)
        weights = at_a_border(torch.ones(PEOPLE, JOINTS, dtype=dtype), at_end)
        transform = at_a_border(torch.eye(2, 3).to(dtype).repeat(PEOPLE, 1, 1), at_end)
        for count, shift in itertools.product((0, 1, 3, 11, 63), (None, 0, 1, 3, width)):
            say("decode", count, shift)
            other = None if shift is None else flipped
            taps = [1 / max(1, count)] * count
            ops.decode(maps, taps, other, transform, flip_shift=shift or 0)
            for method in METHODS if count == 0 else ():
                say("decode", method, shift)
                ops.decode(maps, [], other, method=method, flip_shift=shift or 0)
        for count in (1, 7, 11, 17, 63):
            say("modulate", count)
            ops.modulate(maps, [1 / count] * count)
        say("encode")
        ops.encode(joints, weights, height, width, SIGMA, transform, dtype=dtype)
        say("heatmap_mse")
        ops.heatmap_mse(maps, joints, weights, SIGMA, transform)
        ops.heatmap_mse_backward(weights, maps, joints, weights, SIGMA, transform)


if __name__ == "__main__":
    torch.manual_seed(0)
    run_every_op()
    last = at_a_border(torch.zeros(3), at_end=True).data_ptr()
    ctypes.string_at(last, 12)
    print(DONE, flush=True)
    ctypes.string_at(last, 13)

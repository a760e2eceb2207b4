# SPDX-License-Identifier: Apache-2.0
"""Every way through crop's CUDA kernel, on a GPU and by emulation: the bits of its twin, and no
byte read that is not an image's."""

import ctypes
import mmap
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from conftest import Implementation, implementation, present
from darkpose_ext import reference
from samples import DTYPES

if not present("gpu"):
    pytest.skip("neither a GPU nor emulated kernels", allow_module_level=True)

KINDS = ("bilinear", "bicubic")
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Rows of whole runs, whose crops are whole packs in every type; not so; less than a run; more runs
# than a warp takes at a time, the last warp's not all of them.
SIZES = ((4, 16), (3, 8), (5, 13), (3, 5), (21, 24))

each_kind = pytest.mark.parametrize("kind", KINDS)


def photo(height: int, width: int, channels: int = 3) -> Tensor:
    """Waves [H, W, C]: neighbors differ, but not by much."""
    y, x, c = torch.meshgrid(*map(torch.arange, (height, width, channels)), indexing="ij")
    waves = (
        128 + 90 * torch.sin(0.7 * x + 2 * c) * torch.cos(0.4 * y + c) + 37 * torch.rand(x.shape)
    )
    return waves.to(torch.uint8)


def laid_out(gpu: Implementation, channels: int = 3) -> list[Tensor]:
    """Images of a few sizes: in one piece, planar, a view of a larger one, mirrored, a pixel."""
    whole, planes, frame = (
        gpu.put(photo(h, w, channels)) for h, w in ((19, 31), (23, 17), (40, 50))
    )
    planar = planes.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    swapped = frame[10:31, 4:44, :].transpose(0, 1)
    return [whole, planar, frame[7:33, 5:41], swapped, gpu.put(photo(1, 1, channels))]


def transforms(images: list[Tensor], index: Tensor, height: int, width: int) -> Tensor:
    """From crops to images: scaled to fit, turned and mirrored in turn, some partly outside."""
    made = []
    for n, i in enumerate(index.tolist()):
        h, w, _ = images[i].shape
        center, angle = torch.tensor([w / 2, h / 2]), torch.tensor(0.9 * n)
        scale = max(h, w) / max(height, width) * (0.4, 1.0, 1.7)[n % 3]
        turned = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos())).view(2, 2)
        turned = scale * turned * torch.tensor([-1.0 if n % 4 == 3 else 1.0, 1.0])
        corner = center - turned @ torch.tensor([width / 2, height / 2]) + n % 5 * torch.rand(2)
        made.append(torch.cat((turned, corner[:, None]), 1))
    return torch.stack(made).double()


def assert_same_bits(
    gpu: Implementation, images: list[Tensor], *arguments: Tensor, **options: object
) -> None:
    expected = reference.crop([i.cpu() for i in images], *arguments, **options)
    actual = gpu.crop(images, *arguments, **options).cpu()
    assert actual.stride() == expected.stride() and actual.dtype == expected.dtype
    assert torch.equal(actual, expected)


@each_kind
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_crops_of_images_laid_out_in_any_way_have_the_twins_bits(
    gpu: Implementation, size: tuple[int, int], kind: str
) -> None:
    for channels in (1, 3, 4):
        images = laid_out(gpu, channels)
        index = torch.arange(2 * len(images)) % len(images)
        assert_same_bits(
            gpu, images, index, transforms(images, index, *size), *size, interpolation=kind
        )


@each_kind
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_normalized_crops_have_the_twins_bits(
    gpu: Implementation, dtype: torch.dtype, kind: str
) -> None:
    images = laid_out(gpu)
    index = torch.arange(len(images))
    for height, width in SIZES[:3]:
        matrices = transforms(images, index, height, width).float()
        options = {"mean": MEAN, "std": STD, "interpolation": kind, "dtype": dtype}
        assert_same_bits(gpu, images, index, matrices, height, width, **options)
    assert_same_bits(gpu, images, index, matrices, height, width, dtype=dtype)


def test_more_images_than_a_launch_holds_are_all_cut(gpu: Implementation) -> None:
    images = [gpu.put(photo(3, 4 + i % 3, 1)) for i in range(250)]
    index = torch.randperm(len(images))
    matrices = transforms(images, index, 2, 8)
    expected = reference.crop([i.cpu() for i in images], index, matrices, 2, 8)
    assert torch.equal(gpu.crop(images, index, matrices, 2, 8).cpu(), expected)
    outside = index.clone()
    outside[::7], outside[1::7] = -1, 250
    outside[2], outside[3] = -(1 << 62), 1 << 62
    holes = matrices.clone()
    holes[4, 1, 2], holes[5, 0, 0], holes[6, 1, 1] = torch.nan, torch.inf, 1e300
    lost = (outside != index) | ~(holes.abs() < 1e38).flatten(1).all(1)
    expected[lost] = 0
    assert lost.sum() > 70 and torch.equal(gpu.crop(images, outside, holes, 2, 8).cpu(), expected)


@pytest.mark.parametrize("dtype", [None, torch.float32], ids=str)
def test_warps_take_several_parts_of_large_crops(
    gpu: Implementation, dtype: torch.dtype | None
) -> None:
    """In turn, where there are more parts than fill a GPU; the emulated one is small."""
    images, index = [gpu.put(photo(30, 40))], torch.zeros(4, dtype=torch.int64)
    matrices = transforms(images, index, 41, 64)
    assert_same_bits(gpu, images, index, matrices, 41, 64, dtype=dtype)


def test_no_crops_are_none(gpu: Implementation) -> None:
    empty = torch.empty(0, dtype=torch.int64), torch.empty(0, 2, 3)
    images = laid_out(gpu)
    assert gpu.crop(images, *empty, 4, 8).shape == (0, 4, 8, 3)
    assert gpu.crop(images, *empty, 4, 8, dtype=torch.float16).shape == (0, 3, 4, 8)


def test_positions_without_bound_are_beyond_every_border(gpu: Implementation) -> None:
    images, index = [gpu.put(photo(6, 7))], torch.zeros(4, dtype=torch.int64)
    matrices = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).repeat(4, 1, 1).double()
    matrices[0, 0], matrices[1, 1, 2] = torch.tensor([3e38, 0, -1e38]), -3e38
    matrices[2, 0, 0], matrices[3, :, 2] = 2.0**30, torch.tensor([-(2.0**31), 2.0**31])
    assert_same_bits(gpu, images, index, matrices, 4, 16)


# ---- memory, as the CPU's kernel and the emulated one may read it --------------------------------


@pytest.fixture(params=[name for name in ("cpu", "emulated") if name in present("kernels")])
def in_memory(request: pytest.FixtureRequest) -> Implementation:
    return implementation(request.param)


@pytest.fixture
def pages() -> Iterator[Tensor]:
    """Two pages of memory between two others: to read one of those ends the process."""
    libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
    memory = mmap.mmap(-1, 4 * page)
    whole = torch.frombuffer(memory, dtype=torch.uint8)
    for at in (0, 3 * page):
        begin = ctypes.c_void_p(whole.data_ptr() + at)
        assert libc.mprotect(begin, ctypes.c_size_t(page), 0) == 0
    yield whole[page : 3 * page]
    assert libc.mprotect(ctypes.c_void_p(whole.data_ptr()), ctypes.c_size_t(4 * page), 3) == 0


@each_kind
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_no_byte_beside_an_image_is_read(
    in_memory: Implementation, pages: Tensor, kind: str, channels: int
) -> None:
    for height, width in ((9, 14), (1, 5), (4, 1), (2, 2), (3, 40)):
        source = photo(height, width, channels)
        first = pages[: source.numel()].view(source.shape)
        last = pages[len(pages) - source.numel() :].view(source.shape)
        index = torch.arange(8) % 2
        matrices = transforms([first, last], index, 6, 16)
        matrices[4:6] = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # every pixel itself
        matrices[6:] = torch.tensor([[width / 13, 0.0, -0.5], [0.0, height / 5, -0.5]])
        for image in (first, last):
            image.copy_(source)
        plain = [source, source], index, matrices, 6, 16
        for dtype in (None, torch.float32):
            actual = in_memory.crop([first, last], *plain[1:], interpolation=kind, dtype=dtype)
            assert torch.equal(actual, reference.crop(*plain, interpolation=kind, dtype=dtype))


def test_images_may_be_larger_than_32_bits_count(in_memory: Implementation) -> None:
    """Rows 2 GiB apart, nearly all of which is never touched; then channels."""
    far, kept = 1 << 31, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    memory = torch.frombuffer(mmap.mmap(-1, 4 * far, flags=kept), dtype=torch.uint8)
    source = photo(4, 11)
    index, matrices = torch.zeros(1, dtype=torch.int64), torch.eye(2, 3).double()[None]
    for strides in ((far, 3, 1), (11, 1, far)):
        image = memory.as_strided(source.shape, strides).copy_(source)
        actual = in_memory.crop([image], index, matrices + 0.3, 3, 16)
        assert torch.equal(actual, reference.crop([source], index, matrices + 0.3, 3, 16))

# SPDX-License-Identifier: Apache-2.0
"""What comes first on a GPU: the library that was taken along, and whether it is right at all."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import gpu_library, gpu_pack, gpu_smoke


class Wrong:
    """The CPU's kernels, but for one op that is wrong for one type and layout."""

    def __init__(self, op: str, spoil: Callable[[Tensor], Any]) -> None:
        self.op, self.spoil = op, spoil

    def __getattr__(self, name: str) -> Any:
        function = getattr(torch.ops.dark, name)
        if name != self.op:
            return function

        def called(maps: Tensor, *args: Any, **options: Any) -> Any:
            result = function(maps, *args, **options)
            if maps.dtype == torch.bfloat16 and not maps.is_contiguous():
                return self.spoil(result)
            return result

        return called


def smoke_on(ops: Any) -> None:
    torch.manual_seed(0)
    for dtype in gpu_smoke.DTYPES:
        for layout in ("contiguous", "channels_last"):
            name = f"{str(dtype).removeprefix('torch.')}, {layout}"
            gpu_smoke.run(name, gpu_smoke.every_op(gpu_smoke.Place(ops, "cpu"), dtype, layout))


def test_the_smoke_test_names_the_first_wrong_value() -> None:
    smoke_on(torch.ops.dark)

    def off(result: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        result[0][1, 3, 0] += 0.25
        return result

    with pytest.raises(SystemExit, match="decode, bfloat16, channels_last: coord.* by 0.25 from"):
        smoke_on(Wrong("decode", off))
    with pytest.raises(SystemExit, match="modulate, bfloat16, channels_last: maps differ by inf"):
        smoke_on(Wrong("modulate", lambda maps: maps * torch.nan))
    with pytest.raises(SystemExit, match=r"heatmap_mse, .*: losses are \(\(2, 16\)"):
        smoke_on(Wrong("heatmap_mse", lambda loss: loss[:, 1:]))


def test_a_refused_launch_is_as_wrong_as_a_value() -> None:
    def refused(result: object) -> None:
        raise RuntimeError("CUDA did not launch the kernel: invalid argument")

    with pytest.raises(SystemExit, match="modulate, bfloat16, .*: RuntimeError: CUDA did not"):
        smoke_on(Wrong("modulate", refused))


def test_the_smoke_test_reaches_the_limits_of_the_kernels() -> None:
    launched = [name for name, _ in gpu_smoke.corners(gpu_smoke.Place(torch.ops.dark, "cpu"))]
    assert {"modulate 72x72, 13 taps", "modulate 64x48, 63 taps"} < set(launched)
    height, width = gpu_smoke.LARGE
    assert 4 * height * width > 227 << 10  # the most shared memory that a block has, on an H100


# ---- what is taken along -------------------------------------------------------------------------


def test_a_folder_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "_C.so").write_bytes(bytes(3000))
    gpu_pack.weigh(tmp_path, limit=3000)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "a.whl").write_bytes(b"1")
    with pytest.raises(SystemExit, match="larger than"):
        gpu_pack.weigh(tmp_path, limit=3000)
    assert gpu_pack.LIMIT <= 40 << 20


def test_wheels_are_unpacked_where_their_packages_are_missing(tmp_path: Path) -> None:
    for name in ("numpy", "no_such_package"):
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
    assert gpu_library.unpack(tmp_path, tmp_path / "packages") == ["no_such_package"]
    assert (tmp_path / "packages" / "no_such_package" / "__init__.py").exists()
    assert not (tmp_path / "packages" / "numpy").exists()


def test_a_library_without_cuda_kernels_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch._C, "_dispatch_has_kernel_for_dispatch_key", lambda op, key: key == "CPU"
    )
    with pytest.raises(SystemExit, match="no kernels for cuda"):
        gpu_library.check("cuda")
    gpu_library.check("cpu")

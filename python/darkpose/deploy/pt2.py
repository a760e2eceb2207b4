# SPDX-License-Identifier: Apache-2.0
"""Write and run `.pt2` packages: machine code for this kind of processor, made by AOTInductor.

A package holds a compiled library and calls `torch.ops.dark.decode`: a program without Python loads
libtorch, `darkpose_ext/_C.so` and the package, see `examples/cpp`.
"""

import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from darkpose.deploy.program import CropsToKeypoints, parse_metadata

# What a package may hold.
_PROGRAM = "data/aotinductor/model/"
_ABOUT = ("archive_format", "archive_version", "byteorder", "version", ".data/")


def write_program(program: CropsToKeypoints, path: Path) -> None:
    """Compile a package from crops to keypoints; takes a C++ compiler and minutes.

    Raises:
        OSError: there is no C++ compiler.
    """
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler as error:
        raise OSError("export to pt2 needs a C++ compiler: install g++, or set CXX") from error
    batch = torch.export.Dim("batch", min=1)
    shapes = {"crops": {0: batch}, "to_image": {0: batch}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's, of its own code
        exported = torch.export.export(program, program.example(), dynamic_shapes=shapes)
        torch._inductor.aoti_compile_and_package(
            exported,
            package_path=str(path),
            # Frozen weights take in the batch normalizations and are laid out beforehand.
            inductor_configs={"freezing": True, "aot_inductor.metadata": program.metadata()},
        )


class Pt2Model:
    """A package that `write_program` wrote.

    A package is machine code: loading one is running it. Only load what you would execute.

    Args:
        path: of the file.

    Raises:
        ValueError: the file is no package of `darkpose export`.
    """

    def __init__(self, path: Path) -> None:
        _check_archive(path)
        self.loader = torch._inductor.aoti_load_package(str(path)).loader
        self.metadata = parse_metadata(self.loader.get_metadata(), path)

    def __call__(self, crops: Tensor, to_image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `CropsToKeypoints.forward` does.

        Raises:
            ValueError: crops or matrices of another size or type; the code does not look itself.
        """
        width, height = self.metadata["input_size"]
        people = len(crops)
        for name, tensor, shape, dtype in (
            ("crops", crops, (people, height, width, 3), torch.uint8),
            ("to_image", to_image, (people, 2, 3), torch.float32),
        ):
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                raise ValueError(
                    f"{name} must be {list(shape)} of {dtype}, "
                    f"got {list(tensor.shape)} of {tensor.dtype}"
                )
        coords, scores = self.loader.boxed_run([crops.contiguous(), to_image.contiguous()])
        return coords, scores


def _check_archive(path: Path) -> None:
    """Refuse all that torch might unpickle: other programs and tensors in the same archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} must be a .pt2 package, got a file that is no archive") from error
    strange = [name for name in names if not name.startswith((_PROGRAM, *_ABOUT))]
    if strange or not any(name.startswith(_PROGRAM) for name in names):
        raise ValueError(
            f"{path} must hold one compiled program, got {', '.join(strange or names)}"
        )

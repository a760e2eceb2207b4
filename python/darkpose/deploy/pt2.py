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

from darkpose.deploy.program import Program, parse_metadata

# What a package may hold.
_PROGRAM = "data/aotinductor/model/"
_ABOUT = ("archive_format", "archive_version", "byteorder", "version", ".data/")


def write_program(program: Program, path: Path) -> None:
    """Compile a package from crops, or an image and boxes, to keypoints; takes a C++ compiler and
    minutes.

    Raises:
        OSError: there is no C++ compiler.
    """
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler as error:
        raise OSError("export to pt2 needs a C++ compiler: install g++, or set CXX") from error
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's, of its own code
        exported = torch.export.export(
            program, program.example(), dynamic_shapes=program.dynamic_shapes()
        )
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

    def __call__(self, pixels: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `forward` of the program does that was exported.

        Raises:
            ValueError: an input of another size or type; the code does not look itself.
        """
        shapes: dict[str, tuple[int, ...]]
        if self.metadata.get("from") == "image":
            shapes = {
                "image": (*(max(side, 1) for side in pixels.shape[:2]), 3),
                "boxes": (len(places), 4),
            }
        else:
            people, (width, height) = len(pixels), self.metadata["input_size"]
            shapes = {"crops": (people, height, width, 3), "to_image": (people, 2, 3)}
        given = zip(shapes.items(), (pixels, places), (torch.uint8, torch.float32), strict=True)
        for (name, shape), tensor, dtype in given:
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                raise ValueError(
                    f"{name} must be {list(shape)} of {dtype}, "
                    f"got {list(tensor.shape)} of {tensor.dtype}"
                )
        points, scores = self.loader.boxed_run([pixels.contiguous(), places.contiguous()])
        return points, scores


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

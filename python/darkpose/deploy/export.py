# SPDX-License-Identifier: Apache-2.0
"""`darkpose export`: a checkpoint as a file to deploy, written only if it finds the same joints."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from darkpose.console import say
from darkpose.deploy import onnx, pt2
from darkpose.deploy import quantize as quantization
from darkpose.deploy.calibration import People
from darkpose.deploy.check import Comparison, compare
from darkpose.deploy.options import ExportOptions, Format
from darkpose.deploy.program import (
    CropsToKeypoints,
    ImageToKeypoints,
    Precision,
    Program,
    in_half,
)
from darkpose.files import replacing
from darkpose.models.pose import PoseModel


def export(checkpoint: Path, out: Path, to: Format | None = None, **options: Any) -> None:
    """Write a checkpoint as one file, with `ExportOptions` by their names; see `write`."""
    write(ExportOptions(checkpoint, out, to, **options))


def write(options: ExportOptions) -> None:
    """Write a checkpoint as one file from an image to keypoints, for ONNX runtimes or libtorch.

    On drawn people the file must agree with the checkpoint, else nothing is written.

    Raises:
        OSError: there is no such checkpoint, or no C++ compiler for "pt2".
        ValueError: the checkpoint is none, the name of `out` does not fit, or the file would not
            agree with the checkpoint.
        ImportError: a package that "onnx" needs is missing.
    """
    format_ = options.format
    if format_ == "onnx":
        onnx.need("onnx", "onnxscript", "onnxruntime")
    model = PoseModel.load(options.checkpoint, network=options.network)
    crops = CropsToKeypoints(model, options.decoder, options.flip_test)
    program = ImageToKeypoints(crops) if options.from_ == "image" else crops
    people = None if options.images is None else People.of(model, options.images, options.val)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"model.{format_}"
        comparison = _write(program, format_, options.precision, made)
        say(f"{options.out}: {comparison}")
        if not comparison.passed:
            raise ValueError(f"{options.out} is not written: {comparison.fault}")
        if people is not None:
            say(f"{options.out}: {quantization.quantize(made, program, people)}")
        with made.open("rb") as source, replacing(options.out) as file:
            shutil.copyfileobj(source, file)


def _write(program: Program, format_: Format, precision: Precision, path: Path) -> Comparison:
    """Write a file, and compare it with the program."""
    written = in_half(program) if precision == "fp16" else program
    if format_ == "pt2":
        pt2.write_program(written, path)
        return compare(program, pt2.Pt2Model(path), precision=precision)
    onnx.write_program(written, path)
    cut = None
    if isinstance(program, ImageToKeypoints):
        onnx.write_cut(program, path.with_name("cut.onnx"))
        cut = onnx.OnnxModel(path.with_name("cut.onnx"))
    return compare(program, onnx.OnnxModel(path), cut, precision)

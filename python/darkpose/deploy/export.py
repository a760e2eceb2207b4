# SPDX-License-Identifier: Apache-2.0
"""`darkpose export`: a checkpoint as a file to deploy, written only if it finds the same joints."""

import shutil
import tempfile
from pathlib import Path
from typing import Literal, get_args

from darkpose.console import say
from darkpose.deploy import onnx, pt2
from darkpose.deploy.check import Comparison, compare
from darkpose.deploy.program import (
    CropsToKeypoints,
    ImageToKeypoints,
    Precision,
    Program,
    in_half,
)
from darkpose.files import replacing
from darkpose.models.pose import PoseModel

Format = Literal["pt2", "onnx"]
Source = Literal["crops", "image"]


def export(
    checkpoint: Path,
    out: Path,
    to: Format | None = None,
    flip_test: bool = False,
    decoder: str | None = None,
    network: str | None = None,
    from_: Source = "crops",
    precision: Precision = "fp32",
) -> None:
    """Write a checkpoint as one file from an image to keypoints, for ONNX runtimes or libtorch.

    A file from an image takes image, uint8 [H, W, 3] RGB of any size, and boxes, float32 [N, 4] of
    x, y, width, height, for any N; it returns keypoints [N, K, 3], x, y and score in image pixels,
    and scores [N], the people's. One from crops takes crops, uint8 [B, H, W, 3] RGB, and matrices
    to_image, float32 [B, 2, 3] from heatmap to image pixels, for any B; it returns coords [B, K, 2]
    in image pixels and scores [B, K]. Its metadata say how to crop and what the joints are. On
    drawn people it must agree with the checkpoint, else nothing is written.

    Args:
        checkpoint: written by darkpose. Nothing in it is ever executed.
        out: the file to write, ending in .onnx or .pt2.
        to: "onnx", standard operators that ONNX Runtime runs without darkpose; "pt2", machine code
            for this kind of processor, for libtorch. Default: as `out` ends.
        flip_test: average over the mirrored crops, which takes twice as long.
        decoder: how to read the heatmaps. Default: the checkpoint's best.
        network: `module:function` that makes the checkpoint's network, if that is your own code.
        from_: what the file takes: "image", in which it cuts people out by their boxes, or "crops",
            which the caller cuts.
        precision: of the network, which "fp16" rounds to half precision. Cropping, decoding and
            coordinates always are fp32.

    Raises:
        OSError: there is no such checkpoint, or no C++ compiler for "pt2".
        ValueError: the checkpoint is none, the name of `out` does not fit, or the file would not
            agree with the checkpoint.
        ImportError: a package that "onnx" needs is missing.
    """
    format_ = _format(out, to)
    if format_ == "onnx":
        onnx.need("onnx", "onnxscript", "onnxruntime")
    crops = CropsToKeypoints(PoseModel.load(checkpoint, network=network), decoder, flip_test)
    program = ImageToKeypoints(crops) if from_ == "image" else crops
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"model.{format_}"
        comparison = _write(program, format_, precision, made)
        say(f"{out}: {comparison}")
        if not comparison.passed:
            raise ValueError(f"{out} is not written: {comparison.fault}")
        with made.open("rb") as source, replacing(out) as file:
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


def _format(out: Path, to: Format | None) -> Format:
    for format_ in get_args(Format):
        if out.suffix == f".{format_}" and to in (None, format_):
            return format_
    wanted = f".{to}" if to else " or ".join(f".{name}" for name in get_args(Format))
    raise ValueError(f"out must end in {wanted}, got {out}")

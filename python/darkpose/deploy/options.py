# SPDX-License-Identifier: Apache-2.0
"""What `darkpose export` may be told, on the command line or in Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from darkpose.deploy.program import Precision

Format = Literal["pt2", "onnx"]
Source = Literal["crops", "image"]


@dataclass
class ExportOptions:
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
        quantize: "int8" for an ONNX file whose network computes with integers of eight bits,
            calibrated with people of `images`; decoding stays as it is.
        images: folder of your images, each whole a person, unless `val` says who is in them.
        val: COCO-style annotations of people in `images`, on whom AP is measured before and after.

    Raises:
        ValueError: the name of `out` does not fit, or options do not go together.
    """

    checkpoint: Path
    out: Path
    to: Format | None = None
    flip_test: bool = False
    decoder: str | None = None
    network: str | None = None
    from_: Source = "crops"
    precision: Precision = "fp32"
    quantize: Literal["int8"] | None = None
    images: Path | None = None
    val: Path | None = None

    def __post_init__(self) -> None:
        if self.quantize is None:
            if self.images is not None or self.val is not None:
                raise ValueError("images and val are for quantize, which is not given")
        elif self.format != "onnx" or self.precision != "fp32":
            raise ValueError(
                f"quantize needs an .onnx file and precision fp32, got .{self.format} and "
                f"{self.precision}"
            )
        elif self.images is None:
            raise ValueError("quantize needs images, a folder of yours to calibrate with")

    @property
    def format(self) -> Format:
        """Of the file, as its name ends."""
        for format_ in get_args(Format):
            if self.out.suffix == f".{format_}" and self.to in (None, format_):
                return format_
        wanted = f".{self.to}" if self.to else " or ".join(f".{name}" for name in get_args(Format))
        raise ValueError(f"out must end in {wanted}, got {self.out}")

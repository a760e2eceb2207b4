# SPDX-License-Identifier: Apache-2.0
"""The crops of transformers' image processors beside ours, pixel by pixel.

`interop.py` prints the table, of noise and, with `DARKPOSE_DATA`, of a photo.
"""

import os
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import define_torchvision_ops
from darkpose.codec import HeatmapCodec
from darkpose.data.images import Image, crop_image, read_image
from darkpose.evaluate.markdown import table
from darkpose.geometry import Convention, enlarges, invert

CODECS = {
    "ViTPose": HeatmapCodec((192, 256), convention=Convention.udp),
    "Sapiens2": HeatmapCodec(
        (768, 1024), convention=Convention.udp, sigma=6.0, enlarging="bicubic"
    ),
}
BOXES = (
    (200.0, 100.0, 100.0, 150.0),  # inside
    (300.0, 200.25, 40.5, 50.0),  # inside, enlarged for ViTPose as well
    (160.0, 90.0, 300.0, 330.0),
    (-50.5, 120.0, 111.0, 150.0),  # left
    (560.0, 100.0, 150.0, 140.0),  # right
    (240.0, -60.0, 90.0, 130.0),  # top
    (240.0, 350.5, 120.0, 130.0),  # bottom
    (-40.0, -30.0, 200.0, 250.0),  # a corner
    (0.0, 0.0, 640.0, 427.0),  # all of it
    (-300.0, -300.0, 2000.0, 2000.0),  # far more
)
"""Of an image of about 640 x 427 pixels."""
PHOTO = Path("coco_mini/images/val2017/000000000785.jpg")
FLOAT = 1e-3  # image pixels: their boxes are float32


@dataclass(frozen=True)
class Crops:
    """A crop as ours and as theirs, [H, W, 3]; theirs is neither rounded nor cut off."""

    ours: Image
    theirs: NDArray[np.float64]
    outside: NDArray[np.float64]
    """[H, W]: how far outside of the image a pixel's source lies, in image pixels; 0 inside."""

    def difference(self, low: float, high: float) -> float:
        """Return the largest in gray levels, theirs cut off at 0 and 255, of pixels whose source is
        from `low` to `high` outside."""
        among = (self.outside >= low) & (self.outside <= high)
        return float(np.abs(self.ours - self.theirs.clip(0, 255))[among].max(initial=0))


@cache
def processor(name: str) -> Any:
    """Return the image processor of "ViTPose" or "Sapiens2"; ImportError where it has none."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if find_spec("torchvision"):
        define_torchvision_ops()
    if name == "ViTPose":
        from transformers import VitPoseImageProcessorPil

        return VitPoseImageProcessorPil()
    from transformers.models.sapiens2.image_processing_sapiens2 import Sapiens2ImageProcessor

    return Sapiens2ImageProcessor()


def crops(
    name: str, image: Image, box: tuple[float, ...], input_size: tuple[int, int] | None = None
) -> Crops:
    """Return the crop of a box (x, y, width, height) for "ViTPose" or "Sapiens2", maybe of another
    (width, height) than theirs."""
    codec = CODECS[name]
    codec = replace(codec, input_size=input_size or codec.input_size, heatmap_size=None)
    width, height = codec.input_size
    found = processor(name)(
        image,
        boxes=[[list(box)]],
        size={"height": height, "width": width},
        do_normalize=False,
        do_rescale=False,
        return_tensors="pt",
    )["pixel_values"][0]
    to_input = codec.image_to_input(codec.crop(box))
    ours = crop_image(image, to_input, codec.input_size, codec.enlarging)
    back, last = invert(to_input), np.array(image.shape[1::-1]) - 1
    places = (back[i, i] * np.arange(codec.input_size[i]) + back[i, 2] for i in (0, 1))
    x, y = (np.maximum(-at, at - end).clip(0) for at, end in zip(places, last, strict=True))
    theirs = found.permute(1, 2, 0).double().numpy()
    return Crops(ours, theirs, np.maximum(x[None], y[:, None]))


def noise(width: int, height: int) -> Image:
    """Return the hardest of pictures for interpolation: nothing is smooth."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tables() -> list[dict[str, Any]]:
    """Print how far the crops of all boxes are apart and return the rows."""
    images = {"noise": noise(640, 427)}
    if folder := os.environ.get("DARKPOSE_DATA"):
        images["a photo"] = read_image(Path(folder) / PHOTO)
    rows = []
    for name, codec in CODECS.items():
        try:
            processor(name)
        except ImportError as error:
            print(f"{name}'s crops are left out: {error}", end="\n\n")
            continue
        for of, image in images.items():
            found = [(box, crops(name, image, box)) for box in BOXES]
            for enlarged in (True, False):
                those = [
                    each
                    for box, each in found
                    if enlarges(codec.image_to_input(codec.crop(box))) == enlarged
                ]
                row: dict[str, Any] = {"crops": name, "of": of, "enlarged": enlarged}
                row |= {"boxes": len(those), "inside": max(e.difference(0, 0) for e in those)}
                row["seam"] = max(e.difference(FLOAT, 1) for e in those)
                row["beyond"] = max(e.difference(1 + FLOAT, np.inf) for e in those)
                row["lowest"] = min(float(e.theirs.min()) for e in those)
                row["highest"] = max(float(e.theirs.max()) for e in those)
                rows.append(row)
    cells = [[_shown(value) for value in row.values()] for row in rows]
    head = ["crops", "of", "enlarged", "boxes", "apart inside the image", "within a pixel outside"]
    print(table([*head, "beyond", "theirs from", "to"], cells), end="\n\n")
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)

# SPDX-License-Identifier: Apache-2.0
"""Keypoints with ONNX Runtime, NumPy and OpenCV alone: neither torch nor darkpose is imported.

    darkpose export last.ckpt pose.onnx
    python predict.py pose.onnx photo.jpg 100,50,80,200 300,40,90,210 --draw drawn.png > people.json

This is for files from crops; for those of `--from image`, `from_image.py` is all that is needed.
Boxes are x,y,width,height in pixels of the image as it is shown (OpenCV turns it as EXIF says); the
whole image if there is none. How a box becomes a crop is said by the file's metadata:
`crop_matrices` and `cut` below are all there is to it. Output is JSON.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

BATCH = 32  # people at a time, whatever their number: memory is bounded
SHOWN = 0.2  # score from which a joint is drawn

Box = tuple[float, float, float, float]
Matrix = NDArray[np.float64]  # [2, 3], acts on (x, y, 1)


class Model:
    """A file of `darkpose export` and what it says of itself."""

    def __init__(self, path: str, threads: int = 0) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"model {path} must be a file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        providers = onnxruntime.get_available_providers()
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # of many types, none of them public
            raise ValueError(f"model {path} must be an ONNX file: {error}") from error
        found = self.session.get_modelmeta().custom_metadata_map
        if found.get("format") != "1":
            raise ValueError(f"model {path} must be written by `darkpose export`, in format 1")
        self.about = {name: json.loads(value) for name, value in found.items()}
        if self.about.get("from", "crops") != "crops":
            raise ValueError(f"model {path} cuts people out itself: from_image.py runs it")

    def __call__(
        self, image: NDArray[np.uint8], boxes: list[Box]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return coords [N, K, 2] in image pixels and scores [N, K].

        Args:
            image: RGB [H, W, 3].
            boxes: N of them, x, y, width, height.
        """
        coords, scores = [], []
        for begin in range(0, len(boxes), BATCH):
            pairs = [crop_matrices(box, self.about) for box in boxes[begin : begin + BATCH]]
            crops = [cut(image, to_input, self.about) for to_input, _ in pairs]
            given = {
                "crops": np.stack(crops),
                "to_image": np.stack([to_image for _, to_image in pairs]).astype(np.float32),
            }
            for values, found in zip((coords, scores), self.session.run(None, given), strict=True):
                values.append(found)
        return np.concatenate(coords), np.concatenate(scores)


def crop_matrices(box: Box, about: dict[str, Any]) -> tuple[Matrix, Matrix]:
    """Return the affine maps from image to input and from heatmap to image pixels.

    Raises:
        ValueError: the box has no positive, finite size.
    """
    x, y, width, height = box
    if not (np.isfinite(box).all() and width > 0 and height > 0):
        raise ValueError(f"a box must be finite and of positive size, got {box}")
    aspect = about["input_size"][0] / about["input_size"][1]
    inset = 1 if about["convention"] == "darkpose" else 0
    center = np.array([x + (width - inset) / 2, y + (height - inset) / 2])
    size = np.array([max(width, height * aspect), max(height, width / aspect)]) * about["padding"]
    if about["convention"] == "darkpose" and size[0] <= 1:
        raise ValueError(f"a box must be wider than a pixel when padded, got {box}")

    def to(target: list[int]) -> Matrix:
        scale, middle = {
            "hrnet": (target[0] / size[[0, 0]], np.array(target) / 2),
            "darkpose": ((target[0] - 1) / (size[[0, 0]] - 1), (np.array(target) - 1) / 2),
            "udp": ((np.array(target) - 1) / size, (np.array(target) - 1) / 2),
        }[about["convention"]]
        return np.column_stack([np.diag(scale), middle - scale * center])

    return to(about["input_size"]), cv2.invertAffineTransform(to(about["heatmap_size"]))


def cut(image: NDArray[np.uint8], to_input: Matrix, about: dict[str, Any]) -> NDArray[np.uint8]:
    """Return the crop [H, W, 3]; one that is enlarged is bicubic if the file wants it so."""
    bicubic = about.get("enlarging") == "bicubic" and (np.diag(to_input) >= 1).all()
    flags = cv2.INTER_CUBIC if bicubic else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(image, to_input, about["input_size"], flags=flags), np.uint8)


def draw(
    image: NDArray[np.uint8],
    coords: NDArray[np.float32],
    scores: NDArray[np.float32],
    skeleton: list[list[int]],
) -> NDArray[np.uint8]:
    """Return a copy of the image with everybody's skeleton."""
    drawn = image.copy()
    for points, values in zip(coords, scores, strict=True):
        seen = (values >= SHOWN) & (np.abs(points) < 1e6).all(-1)  # OpenCV's pixels are integers
        at = {k: points[k].round().astype(int).tolist() for k in np.flatnonzero(seen).tolist()}
        for a, b in skeleton:
            if a in at and b in at:
                cv2.line(drawn, at[a], at[b], (0, 200, 255), 2, cv2.LINE_AA)
        for point in at.values():
            cv2.circle(drawn, point, 3, (255, 80, 0), -1, cv2.LINE_AA)
    return drawn


def rounded(point: NDArray[np.float32], score: np.float32) -> list[float] | None:
    """Return x, y and score for JSON; None for a joint that has none of them."""
    values = [round(float(value), 4) for value in (*point, score)]
    return values if np.isfinite(values).all() else None


def parse_box(text: str) -> Box:
    """Return the four numbers of x,y,width,height."""
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError as error:
        raise ValueError(f"a box must be x,y,width,height, got {text!r}") from error
    return x, y, width, height


def main() -> None:
    """Be a command: read, run, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="ONNX file that `darkpose export` wrote")
    parser.add_argument("image")
    parser.add_argument("boxes", nargs="*", help="x,y,width,height")
    parser.add_argument("--draw", help="picture to write, with skeletons")
    parser.add_argument("--threads", type=int, default=0, help="all cores if 0")
    options = parser.parse_args()
    data = np.fromfile(options.image, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ValueError(f"image {options.image} must be in a format that OpenCV reads")
    model = Model(options.model, options.threads)
    boxes = [parse_box(text) for text in options.boxes]
    boxes = boxes or [(0.0, 0.0, float(image.shape[1]), float(image.shape[0]))]
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    coords, scores = model(rgb, boxes)
    people = [
        {"box": box, "keypoints": [rounded(*joint) for joint in zip(points, values, strict=True)]}
        for box, points, values in zip(boxes, coords, scores, strict=True)
    ]
    names, skeleton = model.about["names"], model.about["skeleton"]
    json.dump({"names": names, "skeleton": skeleton, "people": people}, sys.stdout)
    print()
    if options.draw:
        picture = cv2.cvtColor(draw(rgb, coords, scores, skeleton), cv2.COLOR_RGB2BGR)
        if not cv2.imwrite(options.draw, picture):
            raise OSError(f"{options.draw} could not be written")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"predict.py: {error}")

# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of people for README and documentation, with the network of `darkpose demo`.

    darkpose demo
    python docs/people.py [--demo runs/demo] [--out docs/pictures]

`people.jpg`: synthetic people that the network was not trained on, those that fill their images
most, with the keypoints that it finds. `predicted.jpg`: the first of these images as `darkpose
predict --draw` has it; `heatmaps.jpg` and `modulation.jpg`: as `darkpose look` has it. The boxes
are the annotated ones.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]
from darkpose.cli.main import main as darkpose  # noqa: E402  from the folder this file is in
from darkpose.data.annotations import load_annotations  # noqa: E402
from darkpose.files import replacing  # noqa: E402

HEIGHT = 360  # pixels of a row of pictures
WIDTH = 1280
QUALITY = 88  # of JPEG


def newest(demo: Path) -> tuple[Path, Path, Path]:
    """Return the checkpoint of a demo's unbiased encoding, its annotations and its images."""
    (checkpoint,) = demo.glob("runs-*/unbiased-0/checkpoints/last.ckpt")
    (people,) = demo.glob("people-*")
    return checkpoint, people / "annotations/person_keypoints_val.json", people / "images/val"


def crowded(people: Path, images: Path) -> list[Path]:
    """Return the images of two or more people, those first of which people fill the most."""
    filled: dict[Path, list[float]] = {}
    for record in load_annotations(people, images).records:
        width, height = record.image_size
        share = record.box[2] * record.box[3] / (width * height)
        filled.setdefault(record.image_path, []).append(share)
    several = {path: sum(shares) for path, shares in filled.items() if len(shares) > 1}
    return sorted(several, key=lambda path: -several[path])


def drawn(checkpoint: Path, people: Path, images: list[Path], folder: Path) -> list[Path]:
    """Return pictures of images with the keypoints that the network finds."""
    out = str(folder / "predictions.json")
    options = ["--boxes", str(people), "--out", out, "--draw", str(folder)]
    darkpose(["predict", str(checkpoint), *map(str, images), *options])
    return [next(folder.glob(f"{image.stem}.*")) for image in images]


def row(pictures: list[NDArray[np.uint8]], width: int = WIDTH) -> NDArray[np.uint8]:
    """Return pictures side by side, HEIGHT pixels high, as many as there is room for."""
    scaled = [
        cv2.resize(
            picture,
            (round(picture.shape[1] * HEIGHT / picture.shape[0]), HEIGHT),
            None,
            0,
            0,
            cv2.INTER_AREA,
        )
        for picture in pictures
    ]
    return np.hstack(scaled)[:, :width].astype(np.uint8)


def write(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a JPEG."""
    _, data = cv2.imencode(path.suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    with replacing(path) as file:
        file.write(data.tobytes())


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), help="folder of the demo")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("pictures"))
    options = parser.parse_args()
    checkpoint, people, images = newest(options.demo)
    several = crowded(people, images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = [cv2.imread(str(p)) for p in drawn(checkpoint, people, several[:8], folder)]
        write(options.out / "people.jpg", row(pictures))
        write(options.out / "predicted.jpg", pictures[0])
        boxes = ["--boxes", str(people), "--out", str(folder / "look")]
        looked = ["look", str(checkpoint), str(several[0]), *boxes]
        darkpose([*looked, "--what", "[heatmaps, modulation]"])
        for what in ("heatmaps", "modulation"):
            picture = min((folder / "look").glob(f"*{what}*.png"))
            write(options.out / f"{what}.jpg", cv2.imread(str(picture)))


if __name__ == "__main__":
    main()

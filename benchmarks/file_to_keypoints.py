# SPDX-License-Identifier: Apache-2.0
"""From an image file and boxes to keypoints by two versions of darkpose, as Markdown.

    DARKPOSE_DATA=... python benchmarks/file_to_keypoints.py --before TREE [--json FILE]

TREE is a checkout of the other version with its libraries built, whose `.venv` is used where it has
one. `Predictor` of one person, 8 and 32 of a COCO photo and of the same photo at 1920x1080, one
thread, without flip test, in a process for each version. They take turns; people per second of the
processor's time, and the median ratio of a turn with its 95 % interval. Networks: `small` at
96x128, which the demo trains, HRNet-W32 at 192x256, and none, whose maps are there already: people
are cut out at 192x256 and maps decoded.
"""

import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "python")]
from benchmarks import harness, script  # noqa: E402  from the folder this file is in
from benchmarks.cropping_cases import Case, boxes  # noqa: E402
from benchmarks.crops import PHOTO  # noqa: E402
from darkpose.codec import HeatmapCodec  # noqa: E402
from darkpose.data.images import Image, read_image  # noqa: E402
from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.evaluate.markdown import table  # noqa: E402
from darkpose.models.pose import PoseModel  # noqa: E402

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("file_to_keypoints_worker.py")
NONE = "none"
NETWORKS = {  # as it is called; the input's width and height; turns of the versions
    NONE: ("small", (192, 256), 21),
    "small": ("small", (96, 128), 21),
    "hrnet_w32": ("hrnet_w32", (192, 256), 5),
}
PEOPLE = (1, 8, 32)
SECONDS = 0.2  # that a version's calls of a turn take, at least
FULL_HD = (1920, 1080)


class Version:
    """A process that answers with another tree's code."""

    def __init__(self, tree: Path) -> None:
        own = tree / ".venv" / "bin" / "python"
        paths = os.pathsep.join([str(tree), str(tree / "python")])
        self._process = subprocess.Popen(
            [str(own) if own.exists() else sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            text=True,
        )

    def ask(self, **request: Any) -> Any:
        """Return the answer to a request, see the worker."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        if not (answer := stdout.readline()):
            raise SystemExit(f"file_to_keypoints: {WORKER.name} ended, see above")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def images(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield a photo and the same one larger, as JPEG files, with their sizes."""
    path = Path(os.environ["DARKPOSE_DATA"]) / PHOTO
    photo: Image = read_image(path)
    yield str(path), (photo.shape[1], photo.shape[0])
    larger = cv2.resize(photo, FULL_HD, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "larger.jpg"), cv2.cvtColor(larger, cv2.COLOR_RGB2BGR))
    yield str(folder / "larger.jpg"), FULL_HD


def rates(versions: dict[str, Version], turns: int, people: int) -> script.Row:
    """Return people per second by version, and the ratio of the later to the earlier one's."""
    once = versions["now"].ask(calls=2)
    calls = max(1, round(SECONDS / once))
    order = list(versions.items())
    taken: dict[str, list[float]] = {name: [] for name in versions}
    for _ in range(turns):
        for name, version in order:
            taken[name].append(version.ask(calls=calls))
        order.reverse()
    ratios = [a / b for a, b in zip(taken["before"], taken["now"], strict=True)]
    row: script.Row = {name: people / median(seconds) for name, seconds in taken.items()}
    return {**row, "ratio": median(ratios), "interval": harness.interval(ratios)}


def rows(options: Namespace, folder: Path, about: dict[str, object]) -> Iterator[script.Row]:
    """Measure and yield a row for each network, image and number of people, and say what with."""
    trees = {"before": options.before, "now": ROOT}
    for name in options.networks:
        network, size, turns = NETWORKS[name]
        torch.manual_seed(0)
        PoseModel(HeatmapCodec(size), COCO, network).save(folder / "untrained.ckpt")
        versions = {when: Version(tree) for when, tree in trees.items()}
        given = {"checkpoint": str(folder / "untrained.ckpt"), "maps": name == NONE}
        commits = {when: version.ask(**given) for when, version in versions.items()}
        about["before"] = commits["before"]
        for (path, image), people in product(images(folder), PEOPLE):
            found = boxes(Case(people, image), (0.25, 0.95)).tolist()
            for version in versions.values():
                version.ask(image=path, boxes=found)
            row: script.Row = {"network": name, "image": image, "people": people}
            yield row | rates(versions, options.turns or turns, people)
        for version in versions.values():
            version.close()


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = script.arguments(__doc__, devices=("cpu",))
    parser.add_argument("--before", type=Path, required=True, help="checkout of another version")
    parser.add_argument("--turns", type=int, default=0, help="of the two versions, for each row")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    script.start("file_to_keypoints", options)
    about = harness.machine()
    print(*(f"{key} {value}" for key, value in about.items()), sep=" | ", end="\n\n")
    head = ["network", "image", "people", "before, /s", "now, /s", "ratio (95 %)"]
    print(table(head, []), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for row in script.keep(rows(options, Path(folder), about), options.json, about):
            low, high = row["interval"]
            cells = [row["network"], "x".join(map(str, row["image"])), str(row["people"])]
            cells += [f"{row[when]:.4g}" for when in ("before", "now")]
            cells.append(f"{row['ratio']:.3f} ({low:.3f} to {high:.3f})")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

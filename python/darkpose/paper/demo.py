# SPDX-License-Identifier: Apache-2.0
"""The paper in five minutes on a CPU: synthetic people, two encodings, three decoders, pictures."""

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from darkpose.evaluate import markdown
from darkpose.geometry import apply
from darkpose.models.pose import PoseModel
from darkpose.paper.ablation import ENCODINGS, by_encoding, cells
from darkpose.paper.recipes import recipes
from darkpose.paper.synthetic import write_dataset
from darkpose.paper.tables.figures import COCO_COLUMNS
from darkpose.show import plots
from darkpose.train.data import PoseData
from darkpose.train.trainer import Recipe, training_parser

_DECODERS = ("argmax", "standard", "dark")


def synthetic_build(people: Path, epochs: int) -> Recipe:
    """Return how a network is trained on the synthetic set in the folder `people`."""
    parser = training_parser()
    options = ["--config", recipes()["demo.yaml"]]
    for split in ("train", "val"):
        options += [f"--data.{split}={people}/annotations/person_keypoints_{split}.json"]
        options += [f"--data.{split}_images={people}/images/{split}"]
    options += [f"--trainer.max_epochs={epochs}"]
    options += [f"--model.milestones=[{round(0.7 * epochs)},{round(0.9 * epochs)}]"]
    options += [f"--trainer.check_val_every_n_epoch={max(1, epochs // 3)}"]
    if torch.cpu._is_avx512_bf16_supported():  # elsewhere bfloat16 is slower, not faster
        options += ["--trainer.precision=bf16-mixed"]
    return Recipe(parser, parser.parse_args(options))


def demo(
    out: Path = Path("runs/demo"),
    train_images: int = 2000,
    val_images: int = 200,
    epochs: int = 14,
    seed: int = 0,
) -> None:
    """Train on synthetic people with both encodings, decode in three ways, write a table, draw.

    Args:
        out: folder for data, checkpoints, table and pictures. What it already holds is not redone.
        train_images: synthetic images to train on, about two people in each.
        val_images: synthetic images to evaluate on.
        epochs: of training, for each encoding.
        seed: of people, initial weights and order.
    """
    began = time.perf_counter()
    console = Console()
    people = out / f"people-{train_images}-{val_images}-{seed}"
    console.print(f"[1/4] drawing {train_images + val_images} images of synthetic people")
    write_dataset(people, {"train": train_images, "val": val_images}, seed=seed)

    console.print("[2/4] training, once with the biased encoding and once with the unbiased one")
    folder = out / f"runs-{train_images}-{val_images}-{epochs}"
    recipe = synthetic_build(people, epochs)
    runs = by_encoding(recipe, folder, ENCODINGS, [seed])

    console.print("[3/4] evaluated: AP in percent")
    head, rows = cells(runs, COCO_COLUMNS, _DECODERS)
    shown = Table(*head)
    for row in rows:
        shown.add_row(*row, end_section=row[1] == _DECODERS[-1])
    console.print(shown)
    (out / "table.md").write_text(markdown.table(head, rows) + "\n")

    console.print("[4/4] drawing")
    folders = {encoding: folder / f"{encoding}-{seed}" for encoding in runs}
    _, data, _ = recipe({}, seed, folders["unbiased"])
    _draw(out, folders, data)
    trained = sum(run.seconds for found in runs.values() for run in found)
    console.print(
        f"{time.perf_counter() - began:.0f} s, and {trained:.0f} s of training in these runs. "
        f"Table and pictures are in {out}."
    )
    console.print(
        "Next: [bold]darkpose fit --config lspet.yaml[/] trains on real people (the environment "
        "variable DARKPOSE_DATA names the folder that holds lspet/). After make, the command lives "
        "in the virtual environment: [bold]. .venv/bin/activate[/]. README.md says how to train on "
        "your own people and how to call torch.ops.dark.decode in your own model."
    )


def _draw(out: Path, folders: dict[str, Path], data: PoseData) -> None:
    model = PoseModel.load(folders["unbiased"] / "checkpoints" / "last.ckpt")
    dataset, codec = data.people.val_set, model.codec
    shown = np.linspace(0, len(dataset) - 1, 24).astype(int)
    samples = [dataset[int(i)] for i in shown]
    crops = torch.stack([sample["image"] for sample in samples])
    with torch.inference_mode():
        heatmaps, flipped = model.heatmaps(crops, flip_test=True)
        points, scores = codec.decode(heatmaps, flipped=flipped)

    # From heatmap to crop pixels, as the convention has it, by way of any crop at all.
    crop = codec.crop((0, 0, *codec.input_size))
    to_image, to_input = codec.heatmap_to_image(crop), codec.image_to_input(crop)
    on_crop = apply(to_input, apply(to_image, points.numpy()))
    pictures = [sample.numpy() for sample in crops]
    figure = plots.skeletons(pictures, on_crop, scores.numpy(), model.spec)
    plots.save(figure, out / "skeletons.png")

    joints = np.stack([apply(sample["to_heatmap"], sample["joints"]) for sample in samples])
    labeled = torch.stack([sample["weights"] for sample in samples]) > 0
    alone, _ = codec.decode(heatmaps)  # of the map that is drawn, not of the flip test
    person, joint = _example(heatmaps, alone, joints, labeled)
    truth = (float(joints[person, joint, 0]), float(joints[person, joint, 1]))
    title = model.spec.names[joint].replace("_", " ")
    figure = plots.modulation(heatmaps[person, joint], codec, title, truth)
    plots.save(figure, out / "modulation.png")
    plots.save(plots.quantization(joints[labeled.numpy()], truth, codec), out / "quantization.png")

    logs = {encoding: plots.newest_log(folder) for encoding, folder in folders.items()}
    plots.save(plots.training_curves(logs), out / "training.png")


def _example(
    heatmaps: Tensor,  # [N, K, H, W]
    points: Tensor,  # [N, K, 2] heatmap pixels
    joints: NDArray[np.float64],  # [N, K, 2] heatmap pixels
    labeled: Tensor,  # [N, K]
) -> tuple[int, int]:
    """Return the person and joint of the most blurred map that is right to half a pixel.

    A blurred map shows best what the modulation is for, and a wrong one shows other things.
    """
    height, width = heatmaps.shape[-2:]
    peaks = heatmaps.amax((-2, -1), keepdim=True)
    spread = (heatmaps > 0.5 * peaks).sum((-2, -1)).float()
    distance = (points - torch.from_numpy(joints)).norm(dim=-1)
    inside = ((points > 6) & (points < torch.tensor([width - 7, height - 7]))).all(-1)
    fit = labeled & inside & (distance < 0.5) & (peaks[..., 0, 0] > 0.3)
    # Where nothing is fit, as after hardly any training, the nearest will do.
    best = (spread + 1) * fit - 1e-3 * distance
    person, joint = divmod(int(best.argmax()), best.shape[1])
    return person, joint

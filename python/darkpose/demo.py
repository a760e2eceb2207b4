# SPDX-License-Identifier: Apache-2.0
"""The paper in five minutes on a CPU: synthetic people, two encodings, three decoders, pictures."""

import time
from pathlib import Path

import numpy as np
import torch
from lightning import Trainer
from rich.console import Console
from rich.table import Table

from darkpose import plots
from darkpose.ablation import Build, Run, ablation, markdown_table
from darkpose.data.module import PoseData
from darkpose.data.synthetic import write_dataset
from darkpose.geometry import apply
from darkpose.task import PoseTask, load_task
from darkpose.training import CONFIGS, build, training_parser

_DECODERS = ("argmax", "standard", "dark")
_COLUMNS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")


def synthetic_build(people: Path, epochs: int, seed: int = 0) -> Build:
    """Return how a network is trained on the synthetic set in the folder `people`."""
    parser = training_parser()
    options = ["--config", str(CONFIGS / "demo.yaml")]
    for split in ("train", "val"):
        options += [f"--data.{split}={people}/annotations/person_keypoints_{split}.json"]
        options += [f"--data.{split}_images={people}/images/{split}"]
    options += [f"--trainer.max_epochs={epochs}", f"--data.seed={seed}"]
    options += [f"--model.milestones=[{round(0.7 * epochs)},{round(0.9 * epochs)}]"]
    options += [f"--trainer.check_val_every_n_epoch={max(1, epochs // 3)}"]
    if torch.cpu._is_avx512_bf16_supported():  # elsewhere bfloat16 is slower, not faster
        options += ["--trainer.precision=bf16-mixed"]
    base = parser.parse_args(options)

    def build_run(encoding: str, run_seed: int, run: Path) -> tuple[PoseTask, PoseData, Trainer]:
        config = base.clone()
        config.codec.encoding, config.seed, config.out = encoding, run_seed, run
        return build(parser, config)

    return build_run


def demo(
    out: Path = Path("runs/demo"),
    train_images: int = 2000,
    val_images: int = 200,
    epochs: int = 9,
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
    build_run = synthetic_build(people, epochs, seed)
    runs = ablation(build_run, folder, ("biased", "unbiased"), [seed])

    console.print("[3/4] evaluated: AP in percent")
    _print_table(console, runs)
    (out / "table.md").write_text(markdown_table(runs, _COLUMNS, _DECODERS) + "\n")

    console.print("[4/4] drawing")
    folders = {run.encoding: folder / f"{run.encoding}-{seed}" for run in runs}
    _, data, _ = build_run("unbiased", seed, folders["unbiased"])
    _draw(out, folders, data)
    trained = sum(run.seconds for run in runs)
    console.print(
        f"{time.perf_counter() - began:.0f} s, and {trained:.0f} s of training in these runs. "
        f"Table and pictures are in {out}."
    )
    console.print(
        "Next: [bold]darkpose fit --config lspet.yaml[/] trains on real people; README.md says "
        "how to train on your own and how to call torch.ops.dark.decode in your own model."
    )


def _print_table(console: Console, runs: list[Run]) -> None:
    table = Table("encoding", "decoding", *_COLUMNS)
    for run in runs:
        for decoder in _DECODERS:
            figures = run.figures[decoder]
            values = [f"{100 * figures[name]:.1f}" for name in _COLUMNS]
            table.add_row(run.encoding, decoder, *values, end_section=decoder == _DECODERS[-1])
    console.print(table)


def _draw(out: Path, folders: dict[str, Path], data: PoseData) -> None:
    task = load_task(folders["unbiased"] / "checkpoints" / "last.ckpt")
    data.setup("validate")
    dataset = data.val_set
    shown = np.linspace(0, len(dataset) - 1, 24).astype(int)
    samples = [dataset[int(i)] for i in shown]
    crops = torch.stack([sample["image"] for sample in samples])
    with torch.inference_mode():
        heatmaps, flipped = task.heatmaps(crops)
        points, scores = task.codec.decode(heatmaps, flipped=flipped)

    width, height = task.codec.input_size
    heatmap_width, heatmap_height = heatmaps.shape[-1], heatmaps.shape[-2]
    # From heatmap to crop pixels, as the convention has it, by way of any crop at all.
    crop = task.codec.crop((0, 0, width, height))
    to_image, to_input = task.codec.heatmap_to_image(crop), task.codec.image_to_input(crop)
    on_crop = apply(to_input, apply(to_image, points.numpy().astype(np.float64)))
    figure = plots.skeletons(
        [sample.numpy() for sample in crops], on_crop, scores.numpy(), task.spec
    )
    plots.save(figure, out / "skeletons.png")

    joints = [apply(sample["to_heatmap"].numpy(), sample["joints"].numpy()) for sample in samples]
    # The most blurred of the confident maps shows best what the modulation is for.
    spread = (heatmaps > 0.5 * heatmaps.amax((-2, -1), keepdim=True)).sum((-2, -1))
    fit = (scores > 0.4) & (scores < 0.8) & (points[..., 0] > 5) & (points[..., 1] > 5)
    fit &= (points[..., 0] < heatmap_width - 6) & (points[..., 1] < heatmap_height - 6)
    fit &= torch.stack([sample["weights"] for sample in samples]) > 0
    person, joint = divmod(int(torch.where(fit, spread, 0).argmax()), task.spec.num_joints)
    truth = tuple(joints[person][joint].tolist())
    sigma = task.codec.sigma or 1.0
    title = task.spec.names[joint].replace("_", " ")
    figure = plots.modulation(heatmaps[person, joint], sigma, title, (truth[0], truth[1]))
    plots.save(figure, out / "modulation.png")

    labeled = np.concatenate(
        [xy[sample["weights"].numpy() > 0] for xy, sample in zip(joints, samples, strict=True)]
    )
    figure = plots.quantization(labeled, (truth[0], truth[1]), task.codec)
    plots.save(figure, out / "quantization.png")

    logs = {
        encoding: folder / "logs" / "version_0" / "metrics.csv"
        for encoding, folder in folders.items()
    }
    plots.save(plots.training_curves(logs), out / "training.png")

# SPDX-License-Identifier: Apache-2.0
"""People who are cut out on the network's device: the crops of workers, bit for bit, and training
with them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from darkpose.codec import HeatmapCodec
from darkpose.data.annotations import Annotations, load_annotations
from darkpose.data.augment import Augmentation
from darkpose.data.batches import Batches
from darkpose.data.dataset import KeypointDataset
from darkpose.data.options import DataOptions
from darkpose.data.uncut import Uncut, UncutPeople, collate
from training_runs import files_of, fit, logged, weights, write_config

SIZE = (64, 64)
LIT = Augmentation(gain=0.4, brightness=30)


@pytest.fixture(scope="module")
def drawn(people: Path) -> Annotations:
    file = people / "annotations" / "person_keypoints_val.json"
    return load_annotations(file, people / "images" / "val")


def assert_alike(batch: dict[str, Any], expected: list[Any], device: str) -> None:
    crops = batch.pop("image").to(device)
    assert crops.device.type == torch.device(device).type and crops.dtype == torch.uint8
    assert torch.equal(crops.cpu(), torch.stack([sample["image"] for sample in expected]))
    for name, values in batch.items():
        assert values.tolist() == [torch.as_tensor(one[name]).tolist() for one in expected]


@pytest.mark.parametrize(
    "options",
    [
        {"augmentation": LIT, "convention": "udp", "enlarging": "bicubic"},
        {"augmentation": LIT, "scaled_decoding": True},
        {"cache_images": True},
    ],
    ids=str,
)
def test_crops_on_the_device_are_those_of_workers(
    drawn: Annotations, options: dict[str, Any], device: str
) -> None:
    """Enlarged and not, turned, mirrored, in another light, reduced; without an image too."""
    gone = replace(drawn.records[1], image_path=Path("gone.png"))
    people = replace(drawn, records=(*drawn.records[:1], gone, *drawn.records[2:]))
    dataset = KeypointDataset(people, SIZE, on_bad_image="skip", **options)
    keys = [(epoch, index) for epoch in range(3) for index in range(len(dataset))]
    uncut = UncutPeople(dataset)
    assert_alike(collate([uncut[key] for key in keys]), [dataset[key] for key in keys], device)
    assert len({bool(dataset[key]["image"].any()) for key in keys}) == 2


def test_an_image_goes_once_for_its_people(drawn: Annotations) -> None:
    dataset = KeypointDataset(drawn, SIZE)
    shared = [i for i, first in enumerate(dataset.images) if first == dataset.images[0]]
    assert len(shared) > 1
    batch = collate([UncutPeople(dataset)[i] for i in (*shared, len(dataset) - 1)])
    assert [len(batch["image"].images), len(batch["image"])] == [2, len(shared) + 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_hold_whole_images_where_that_is_asked_for(people: Path, workers: int) -> None:
    chosen = DataOptions(**files_of(people), workers=workers, crop_on="device")
    data = Batches(HeatmapCodec(SIZE), chosen)
    for batch in data.val_batches():
        assert isinstance(batch["image"], Uncut)
        expected = [data.val_set[i] for i in batch["index"].tolist()]
        assert_alike(batch, expected, "cpu")


def test_training_is_the_same_run_wherever_people_are_cut(people: Path, tmp_path: Path) -> None:
    """To the last bit, where it goes on in the middle of an epoch too."""
    config = write_config(people, tmp_path / "config.yaml")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    given = ["--data.batch_size=8", "--data.augmentation.gain=0.3", "--trainer.max_epochs=1"]
    try:
        known = weights(fit(config, tmp_path / "worker", *given))
        device = "--data.crop_on=device"
        first = fit(config, tmp_path / "device", *given, device, "--trainer.max_steps=2")
        found = weights(fit(config, tmp_path / "device", *given, device, f"--ckpt_path={first}"))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[name], value) for name, value in known.items())
    losses = [
        {row["step"]: row["train/loss_step"] for row in logged(out) if row["train/loss_step"]}
        for out in (tmp_path / "worker", tmp_path / "device")
    ]
    assert losses[1] and losses[1].items() <= losses[0].items()


def test_another_place_is_named() -> None:
    with pytest.raises(ValueError, match="data.crop_on must be one of worker, device, got gpu"):
        DataOptions(Path("a.json"), Path("a"), crop_on="gpu")  # type: ignore[arg-type]

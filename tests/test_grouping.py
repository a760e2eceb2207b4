# SPDX-License-Identifier: Apache-2.0
"""Orders by image: everybody once, each image decoded once, the same whoever shares the work."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from darkpose.data import dataset as dataset_module
from darkpose.data.annotations import Annotations, load_annotations
from darkpose.data.dataset import KeypointDataset
from darkpose.data.grouping import by_image, image_numbers, shuffled_together
from darkpose.data.images import DecodedImage
from darkpose.data.loading import ResumableLoader, SeededSampler
from darkpose.data.orientation import Pixels, decode_file
from training_runs import run_data

names = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60)
most = st.integers(1, 5)


def runs(order: NDArray[np.int64], images: NDArray[np.int64]) -> int:
    """How often an image is decoded if only the last one is held."""
    return 1 + int(np.count_nonzero(np.diff(images[order])))


# ---- orders --------------------------------------------------------------------------------------


def test_images_are_numbered_by_their_first_person() -> None:
    assert image_numbers("abacb").tolist() == [0, 1, 0, 3, 1]


@given(names)
def test_an_order_by_image_has_everybody_once_and_each_image_in_one_piece(people: str) -> None:
    images = image_numbers(people)
    order = by_image(images)
    assert sorted(order) == list(range(len(people)))
    assert runs(order, images) == len(set(people))
    for image in set(images):  # its people and the images themselves as they came
        assert (np.diff(order[images[order] == image]) > 0).all()
    assert (np.diff(images[order]) >= 0).all()


@given(st.lists(st.integers(1, 4), min_size=1))
def test_people_who_are_by_image_already_keep_their_order(counts: list[int]) -> None:
    images = image_numbers(np.repeat(np.arange(len(counts)), counts).tolist())
    assert by_image(images).tolist() == list(range(sum(counts)))


@given(names, most)
def test_a_shuffle_by_groups_has_everybody_once_and_few_pieces(people: str, most: int) -> None:
    images = image_numbers(people)
    order = shuffled_together(images, most, np.random.default_rng(0))
    assert sorted(order) == list(range(len(people)))
    groups = sum(-(-count // most) for count in Counter(people).values())
    assert runs(order, images) <= groups


def test_groups_are_in_random_places_and_of_random_people() -> None:
    """Each person comes first equally often, and all pairs of an image meet."""
    images = image_numbers("aaaabbbbcccc")
    rng, epochs = np.random.default_rng(1), 600
    orders = [shuffled_together(images, 2, rng) for _ in range(epochs)]
    first = np.bincount([order[0] for order in orders], minlength=12)
    assert first.min() > epochs / 12 / 2 and first.max() < epochs / 12 * 2
    pairs = Counter(frozenset(map(int, pair)) for order in orders for pair in order.reshape(-1, 2))
    within = [pairs[frozenset((i, j))] for i in range(4) for j in range(i)]
    assert sum(pairs.values()) == 6 * epochs and min(within) > 2 * epochs / 6 / 2


# ---- sampler -------------------------------------------------------------------------------------


def order_of(sampler: SeededSampler) -> list[int]:
    found = [index for _, index in sampler]
    assert len(found) == len(sampler)
    return found


@given(names, st.integers(1, 5), st.booleans(), st.booleans())
def test_ranks_share_out_everybody(people: str, ranks: int, shuffle: bool, even: bool) -> None:
    images, size = image_numbers(people), len(people)
    options = {"shuffle": shuffle, "even": even, "images": images, "together": 3}
    shares = [
        order_of(SeededSampler(size, rank=rank, world_size=ranks, **options))
        for rank in range(ranks)
    ]
    together = [index for share in shares for index in share]
    assert set(together) == set(range(size))
    if even:
        assert len(set(map(len, shares))) == 1
    else:
        assert len(together) == size
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(names, most, st.sampled_from([1, 2, 4]), st.integers(1, 5), st.integers(0, 9))
def test_a_step_has_the_same_people_however_many_ranks_there_are(
    people: str, most: int, ranks: int, share: int, epoch: int
) -> None:
    step, shares = ranks * share, []
    options = {"seed": 4, "step": step, "images": image_numbers(people), "together": most}
    for world, rank in [(1, 0), *((ranks, rank) for rank in range(ranks))]:
        sampler = SeededSampler(len(people), rank=rank, world_size=world, **options)
        sampler.set_epoch(epoch)
        shares.append(order_of(sampler))
    whole, *shared = shares
    assert len(set(map(len, shared))) == 1
    if len(people) < step:
        assert set().union(*shared) == set(whole) == set(range(len(people)))
        return
    assert len(set(whole)) == len(whole) == len(people) // step * step
    for first in range(0, len(whole), step):
        own = first // ranks
        together = [i for rank in shared for i in rank[own : own + share]]
        assert together == whole[first : first + step]


def test_an_order_is_a_function_of_seed_and_epoch() -> None:
    images = image_numbers(np.repeat(np.arange(50), 3).tolist())

    def order(seed: int, epoch: int) -> list[int]:
        sampler = SeededSampler(150, seed=seed, images=images, together=2)
        sampler.set_epoch(epoch)
        return order_of(sampler)

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(*key)) for key in [(0, 0), (0, 1), (1, 0)]}) == 3


def test_in_evaluation_hardly_an_image_is_split_between_ranks() -> None:
    rng = np.random.default_rng(0)
    images = image_numbers(rng.integers(0, 40, 200).tolist())
    decoded = 0
    for rank in range(4):
        options = {"shuffle": False, "even": False, "rank": rank, "world_size": 4}
        share = np.array(order_of(SeededSampler(200, images=images, **options)))
        decoded += runs(share, images)
    assert decoded <= len(set(images)) + 3


def test_bad_groups_are_named() -> None:
    with pytest.raises(ValueError, match="images must be those of all 5 samples, got 4"):
        SeededSampler(5, images=np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="together must be at least 1, got 0"):
        SeededSampler(5, images=np.zeros(5, np.int64), together=0)


# ---- data ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scattered(people: Path) -> Annotations:
    """People whose file names no image twice in a row, as COCO's own files hardly do."""
    file = people / "annotations" / "person_keypoints_train.json"
    found = load_annotations(file, people / "images" / "train")
    numbers = image_numbers(record.image_path for record in found.records)
    nth = [int((numbers[:i] == number).sum()) for i, number in enumerate(numbers)]
    order = np.argsort(nth, kind="stable")
    return Annotations(tuple(found.records[i] for i in order), found.spec, found.category_id)


def test_evaluation_decodes_each_image_once_in_any_files_order(
    scattered: Annotations, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def noted(path: Path, pixels: Pixels, reduction: int) -> DecodedImage:
        decoded.append(path)
        return decode_file(path, pixels, reduction)

    dataset = KeypointDataset(scattered, (64, 64))
    assert runs(np.arange(len(dataset)), dataset.images) > len(set(dataset.images))
    expected = [dataset[i]["image"] for i in range(len(dataset))]
    monkeypatch.setattr(dataset_module, "decode_file", noted)
    dataset = KeypointDataset(scattered, (64, 64))
    sampler = SeededSampler(len(dataset), shuffle=False, even=False, images=dataset.images)
    loader = ResumableLoader(dataset, batch_size=4, sampler=sampler)  # type: ignore[arg-type]
    seen = []
    for batch in loader:
        for index, image in zip(batch["index"].tolist(), batch["image"], strict=True):
            assert (image == expected[index]).all()  # bit for bit what it is alone
            seen.append(index)
    assert sorted(seen) == list(range(len(dataset)))
    assert len(decoded) == len(set(decoded)) == len(set(dataset.images))


def test_group_images_puts_people_of_an_image_into_the_same_step(people: Path) -> None:
    """Its steps have fewer images than those without."""

    def images_decoded(**options: Any) -> int:
        data = run_data(people, batch_size=8, **options)
        steps = [batch["index"].tolist() for batch in data.train_batches()]
        assert len(steps) == len(data.train_set) // 8
        return sum(len(set(data.train_set.images[step])) for step in steps)

    assert images_decoded(group_images=4) < images_decoded()


def test_group_images_must_be_positive(people: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.group_images must be at least 1, got 0"):
        run_data(people, group_images=0)

# SPDX-License-Identifier: Apache-2.0
"""The order in which people are seen: the same in any worker, rank, and after any interruption."""

from itertools import chain
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darkpose.data.annotations import load_annotations
from darkpose.data.augment import Augmentation
from darkpose.data.dataset import KeypointDataset
from darkpose.data.loading import ResumableLoader, SeededSampler, worker_init

# ---- loader --------------------------------------------------------------------------------------


def loader_of(dataset: KeypointDataset, workers: int, together: int = 1) -> ResumableLoader:
    images = dataset.images if together > 1 else None
    return ResumableLoader(
        dataset,
        batch_size=4,
        sampler=SeededSampler(len(dataset), seed=1, images=images, together=together),
        num_workers=workers,
        worker_init_fn=worker_init,
        persistent_workers=workers > 0,
    )


@pytest.fixture(scope="module")
def dataset(people: Path) -> KeypointDataset:
    file = people / "annotations" / "person_keypoints_val.json"
    annotations = load_annotations(file, people / "images" / "val")
    return KeypointDataset(annotations, (64, 64), augmentation=Augmentation(), seed=1)


def epochs(loader: ResumableLoader, first: int, last: int) -> list[list[dict]]:
    found = []
    for epoch in range(first, last + 1):
        loader.sampler.set_epoch(epoch)
        found.append(list(loader))
    return found


def assert_same(one: list[dict], other: list[dict]) -> None:
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("together", [1, 2])
def test_workers_give_the_same_samples_in_the_same_order(
    dataset: KeypointDataset, together: int
) -> None:
    """Persistent workers too, over two epochs: the epoch reaches them with the index."""
    alone, shared = (epochs(loader_of(dataset, workers, together), 0, 1) for workers in (0, 2))
    for one, other in zip(alone, shared, strict=True):
        assert_same(one, other)
    assert not torch.equal(alone[0][0]["index"], alone[1][0]["index"])


def test_people_of_an_image_together_are_the_same_samples(dataset: KeypointDataset) -> None:
    """In another order."""
    found = []
    for together in (1, 2):
        (batches,) = epochs(loader_of(dataset, 0, together), 3, 3)
        samples = [zip(b["index"].tolist(), b["image"], strict=True) for b in batches]
        found.append(dict(chain.from_iterable(samples)))
    apart, grouped = found
    assert list(apart) != list(grouped) and sorted(apart) == sorted(grouped)
    assert all(torch.equal(apart[i], grouped[i]) for i in apart)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("delivered", [0, 1, 3])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(
    dataset: KeypointDataset, workers: int, together: int, delivered: int
) -> None:
    whole = epochs(loader_of(dataset, 0, together), 2, 3)
    assert len(whole[0]) > 3
    first = loader_of(dataset, workers, together)
    first.sampler.set_epoch(2)
    batches = iter(first)
    for _ in range(delivered):
        next(batches)
    second = loader_of(dataset, workers, together)
    second.load_state_dict(first.state_dict())
    rest = epochs(second, 2, 3)
    assert_same(rest[0], whole[0][delivered:])
    assert_same(rest[1], whole[1])


def test_a_loader_saved_at_the_end_of_an_epoch_begins_the_next(dataset: KeypointDataset) -> None:
    first, second = loader_of(dataset, 0), loader_of(dataset, 0)
    epochs(first, 0, 0)
    assert first.state_dict() == {"delivered": len(first)}
    second.load_state_dict(first.state_dict())
    assert_same(epochs(second, 1, 1)[0], epochs(loader_of(dataset, 0), 1, 1)[0])


# ---- sampler ------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 9), st.booleans(), st.booleans())
def test_ranks_share_out_every_sample(
    size: int, world_size: int, epoch: int, shuffle: bool, even: bool
) -> None:
    shares = []
    for rank in range(world_size):
        sampler = SeededSampler(
            size, seed=2, shuffle=shuffle, rank=rank, world_size=world_size, even=even
        )
        sampler.set_epoch(epoch)
        pairs = list(sampler)
        assert len(pairs) == len(sampler)
        assert all(pair[0] == epoch for pair in pairs)
        shares.append([index for _, index in pairs])
    together = sorted(index for share in shares for index in share)
    assert set(together) == set(range(size))
    if even:
        assert len({len(share) for share in shares}) == 1
    else:
        assert together == list(range(size))


@given(st.integers(1, 60), st.sampled_from([1, 2, 4]), st.integers(1, 5))
def test_a_step_has_the_same_samples_however_many_ranks_there_are(
    size: int, world_size: int, share: int
) -> None:
    step = world_size * share
    whole = [index for _, index in SeededSampler(size, seed=4, step=step)]
    ranks = [
        [i for _, i in SeededSampler(size, seed=4, rank=r, world_size=world_size, step=step)]
        for r in range(world_size)
    ]
    if size < step:
        assert sorted(whole) == list(range(size))
        assert {index for rank in ranks for index in rank} == set(range(size))
        return
    assert len(whole) == size // step * step
    assert {len(rank) for rank in ranks} == {size // step * share}
    for first in range(0, len(whole), step):
        own = first // world_size
        together = {index for rank in ranks for index in rank[own : own + share]}
        assert together == set(whole[first : first + step])


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = SeededSampler(100, seed=seed)
        sampler.set_epoch(epoch)
        return [index for _, index in sampler]

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(*key)) for key in [(0, 0), (0, 1), (1, 0)]}) == 3


def test_more_ranks_do_not_change_the_order() -> None:
    whole = [index for _, index in SeededSampler(12, seed=5)]
    ranks = [[i for _, i in SeededSampler(12, seed=5, rank=r, world_size=3)] for r in range(3)]
    assert [index for step in zip(*ranks, strict=True) for index in step] == whole


@pytest.mark.parametrize("wrong", [(0, 0, 1), (3, 2, 2), (3, -1, 2)])
def test_a_bad_sampler_is_named(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="positive size and a rank below world_size"):
        size, rank, world_size = wrong
        SeededSampler(size, rank=rank, world_size=world_size)

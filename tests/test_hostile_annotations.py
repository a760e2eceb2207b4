# SPDX-License-Identifier: Apache-2.0
"""Annotation files and results from strangers: any value in any place is read or named, in one
line that can be printed."""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from darkpose.codec import HeatmapCodec
from darkpose.data.batches import Batches
from darkpose.data.options import DataOptions
from darkpose.evaluate.metrics.coco import evaluate_oks
from test_labels import FILE, SIGMAS, results

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 10**30, 10**400, 1e308, math.nan, math.inf),
    *("", " ", "1", "nan", "x", "a\x1b[31m\u202eb\n", "../../etc", "\0", "9" * 30, "9" * 5000),
    *([], {}, [[]], [1], [None], ["x"], [[1, 2, 2]], [1] * 9, {"id": 1}, [[[[[1]]]]], [{}] * 4),
]
RESULT = results()[:1]
HARMLESS = ("name", "category_id")  # of what is said or left out


def places(content: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in a JSON's content, the content itself left out."""
    entries = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in entries:
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *inside) for inside in places(value))


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    content = copy.deepcopy(content)
    inside = content
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return content


def read_or_named(file: Path, content: Any) -> bool:
    """Read and evaluate a file; return whether it was good, and see that what it is told is one
    line with its name."""
    file.write_text(json.dumps(content))
    try:
        batches = Batches(HeatmapCodec((64, 64)), DataOptions(file, file.parent))
        _ = batches.val_set[0], batches.val_set.images
        assert batches.truth is not None
        figures = evaluate_oks(batches.truth, RESULT, batches.spec.oks_sigmas)
        assert all(math.isnan(value) or 0 <= value <= 1 for value in figures.values())
    except (ValueError, OSError) as error:
        sentence = str(error)
        assert sentence.isprintable() and len(sentence) < 1000
        if "the result at position" not in sentence:  # the file is good, the result of another
            assert str(file) in sentence or str(file.parent / "a.png") in sentence
        return False
    return True


PLACES = [*places({**FILE, "annotations": FILE["annotations"][:1]})]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_any_value_in_any_place_of_a_file(tmp_path: Path, place: tuple[Any, ...]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((120, 160, 3), np.uint8))
    good = [read_or_named(tmp_path / "a.json", changed(FILE, place, value)) for value in VALUES]
    assert all(good) == (place[-1] in HARMLESS)


def test_anything_in_place_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    assert not any(read_or_named(file, value) for value in VALUES)
    for text in (b"", b"[" * 100_000, b"\xff\xfe{", b'{"images": [1', b"null", b"9" * 5000):
        file.write_bytes(text)
        with pytest.raises(ValueError, match="a.json must be"):
            Batches(HeatmapCodec((64, 64)), DataOptions(file, tmp_path))


@pytest.mark.parametrize("place", [*places(RESULT)], ids=lambda place: ".".join(map(str, place)))
def test_any_value_in_any_place_of_results(tmp_path: Path, place: tuple[Any, ...]) -> None:
    file = tmp_path / "results.json"
    refused = 0
    for value in VALUES:
        file.write_text(json.dumps(changed(RESULT, place, value)))
        try:
            evaluate_oks(FILE, file, SIGMAS)
        except ValueError as error:
            refused += 1
            assert str(error).isprintable() and str(file) in str(error)
    assert refused

# SPDX-License-Identifier: Apache-2.0
"""Methods, roundings, rescalings: a list of each in Python and in C++, and nobody forgets one."""

import re
from typing import Any

import numpy as np
import pytest
import torch

import darkpose_ext.numpy
import oracles
import tolerances
from darkpose_ext import reference
from darkpose_ext._onnx_step import STEPS
from darkpose_ext._values import BORDERS, METHODS, RESCALES, ROUNDINGS

JOINTS, WEIGHTS, MAPS = torch.ones(1, 1, 2), torch.ones(1, 1), torch.ones(1, 1, 8, 8)
CALLS = {
    METHODS: lambda ops, name: ops.decode(MAPS, [], method=name),
    ROUNDINGS: lambda ops, name: ops.encode(JOINTS, WEIGHTS, 8, 8, 1.0, rounding=name),
    RESCALES: lambda ops, name: ops.modulate(MAPS, [1.0], rescale=name),
    BORDERS: lambda ops, name: ops.decode(MAPS, [1.0], border=name),
}


@pytest.mark.parametrize("names", CALLS, ids=lambda names: names[0])
def test_cpp_knows_the_names_that_python_knows(names: tuple[str, ...]) -> None:
    with pytest.raises(RuntimeError) as refused:
        CALLS[names](torch.ops.dark, "nobody")
    known = re.search(r"must be one of (.*), got nobody", str(refused.value))
    assert known and tuple(known[1].split(", ")) == names
    for name in names:
        CALLS[names](torch.ops.dark, name)
        CALLS[names](reference, name)


@pytest.mark.parametrize(
    ("place", "table", "names"),
    [
        ("oracles.METHODS", oracles.METHODS, METHODS),
        ("oracles.ROUNDINGS", oracles.ROUNDINGS, ROUNDINGS),
        ("oracles.RESCALES", oracles.RESCALES, RESCALES),
        ("tolerances.DECODED", tolerances.DECODED, METHODS),
    ],
)
def test_every_name_has_an_oracle(
    place: str, table: dict[str, Any], names: tuple[str, ...]
) -> None:
    lacking, unknown = set(names) - set(table), set(table) - set(names)
    assert not lacking, f"tests/{place} lacks {lacking}, which nothing would be compared with"
    assert not unknown, f"tests/{place} has {unknown}, which no op knows"


def test_every_method_can_be_exported_and_is_numpys_too() -> None:
    assert {"argmax", *STEPS} == set(METHODS)
    for method in METHODS:
        darkpose_ext.numpy.decode(np.ones((1, 1, 8, 8), np.float32), [], method=method)

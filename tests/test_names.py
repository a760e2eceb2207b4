# SPDX-License-Identifier: Apache-2.0
"""Methods, roundings, rescalings: a list of each in Python and in C++, and nobody forgets one."""

import re

import numpy as np
import pytest
import torch

import darkpose_ext.numpy
import oracles
from darkpose_ext import reference
from darkpose_ext._values import METHODS, RESCALES, ROUNDINGS

JOINTS, WEIGHTS, MAPS = torch.ones(1, 1, 2), torch.ones(1, 1), torch.ones(1, 1, 8, 8)
CALLS = {
    METHODS: lambda ops, name: ops.decode(MAPS, [], method=name),
    ROUNDINGS: lambda ops, name: ops.encode(JOINTS, WEIGHTS, 8, 8, 1.0, rounding=name),
    RESCALES: lambda ops, name: ops.modulate(MAPS, [1.0], rescale=name),
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


def test_every_name_has_an_oracle() -> None:
    assert tuple(oracles.METHODS) == METHODS
    assert tuple(oracles.ROUNDINGS) == ROUNDINGS
    assert tuple(oracles.RESCALES) == RESCALES


def test_every_method_can_be_exported_and_is_numpys_too() -> None:
    onnx = pytest.importorskip("darkpose_ext.onnx", reason="needs darkpose[onnx]")
    assert {"argmax", *onnx._STEPS} == set(METHODS)
    for method in METHODS:
        darkpose_ext.numpy.decode(np.ones((1, 1, 8, 8), np.float32), [], method=method)

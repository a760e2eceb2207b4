# SPDX-License-Identifier: Apache-2.0
"""Joint sets as data: read when asked for, told by their joints' names."""

import subprocess
import sys

import pytest

from darkpose.data.joint_sets import AIC, COCO, JOINT_SETS, MPII, matching
from darkpose.data.spec import KeypointSpec


def test_a_set_is_read_when_it_is_asked_for() -> None:
    program = """
import sys
opened = []
sys.addaudithook(lambda event, found: opened.append(str(found[0])) if event == "open" else None)
import darkpose.data, darkpose.data.batches, darkpose.data.drawing
def sets(): return [name.rpartition("/")[2] for name in opened if name.endswith(".json")]
before = sets()
darkpose.data.COCO, darkpose.data.COCO
print(before, sets())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[] ['coco.json']"


def test_the_sets_that_others_import_are_those_of_the_table() -> None:
    assert (COCO, MPII, AIC) == tuple(JOINT_SETS[name] for name in ("coco", "mpii", "aic"))
    assert [spec.num_joints for spec in (COCO, MPII, AIC)] == [17, 16, 14]
    assert "nowhere" not in JOINT_SETS and len(JOINT_SETS) == len(list(JOINT_SETS))
    assert COCO.oks_sigmas[:2] == (0.026, 0.025) and COCO.flip_pairs[0] == (1, 2)


@pytest.mark.parametrize("name", JOINT_SETS)
def test_a_set_is_told_by_its_joints(name: str) -> None:
    assert matching(JOINT_SETS[name].names) == JOINT_SETS[name]


def test_a_set_is_told_in_any_order_and_spelling() -> None:
    names = [_others_spelling(name) for name in reversed(COCO.names)]
    found = matching(names)
    assert found is not None and found.names == COCO.names[::-1]
    assert found.flip_index == tuple(16 - COCO.flip_index[16 - k] for k in range(17))
    assert found.oks_sigmas == COCO.oks_sigmas[::-1]
    assert found.upper_body == tuple(sorted(16 - k for k in COCO.upper_body))
    limbs = [(found.names[a], found.names[b]) for a, b in found.skeleton]
    assert limbs == [(COCO.names[a], COCO.names[b]) for a, b in COCO.skeleton]
    pairs = {(found.names[a], found.names[b]) for a, b in found.flip_pairs}
    assert pairs == {(COCO.names[a], COCO.names[b]) for a, b in COCO.flip_pairs}


def _others_spelling(name: str) -> str:
    side, _, joint = name.partition("_")
    return f"{side[0].upper()}_{joint.capitalize()}" if joint else name.capitalize()


@pytest.mark.parametrize(
    "names", [COCO.names[:-1], (*COCO.names, "tail"), (*COCO.names[:-1], "tail"), ("a", "b"), ()]
)
def test_other_joints_are_no_set(names: tuple[str, ...]) -> None:
    assert matching(names) is None


def test_sets_of_the_same_joints_are_told_by_their_order() -> None:
    """LSP's joints are AI Challenger's."""
    lsp = JOINT_SETS["lsp"]
    assert sorted(lsp.names) == sorted(AIC.names) and lsp.names != AIC.names
    shuffled = matching(sorted(lsp.names))
    assert shuffled is not None
    by_name = KeypointSpec.from_names(sorted(lsp.names))
    assert shuffled.oks_sigmas == by_name.oks_sigmas

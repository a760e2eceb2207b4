# SPDX-License-Identifier: Apache-2.0
"""Joint sets of published data, one file each in `sets/`, read when it is asked for.

A file has the form of `darkpose.data.spec`'s YAML, as JSON, and says whose joints they are and
where their sigmas are from. Adding a set is adding a file.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from darkpose.data import sides
from darkpose.data.joint_values import YAML_KEYS
from darkpose.data.spec import ASSUMED_SIGMA, KeypointSpec

_FOLDER = Path(__file__).with_name("sets")
_PUBLISHED = "oks_sigmas_published"

COCO: KeypointSpec
"""COCO's 17 joints and 19 limbs, for its test sets, whose files do not say."""
MPII: KeypointSpec
"""MPII's 16 joints, in the order of HRNet's JSON."""
AIC: KeypointSpec
"""AI Challenger's 14 joints."""


class _Sets(Mapping[str, KeypointSpec]):
    def __getitem__(self, name: str) -> KeypointSpec:
        if name not in _names():
            raise KeyError(name)
        return _spec(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_names())

    def __len__(self) -> int:
        return len(_names())


JOINT_SETS: Mapping[str, KeypointSpec] = _Sets()
"""By name. A set is told by its joints' names, in whatever order a file has them."""


def __getattr__(name: str) -> KeypointSpec:
    if name in ("COCO", "MPII", "AIC"):
        return JOINT_SETS[name.lower()]
    raise AttributeError(f"module {__name__} has no attribute {name}")


def matching(names: Sequence[str]) -> KeypointSpec | None:
    """Return the joint set that has just these joints, in any order and spelling; None: none has.

    Where several have them, it is the one in whose order they are, else one without published
    sigmas: LSP's joints are AI Challenger's, whose sigmas would be a fifth of the customary ones.

    Args:
        names: of K joints.

    Returns:
        The set, with its own spelling of the names, in the order of `names`.
    """
    found = []
    for name in _names():
        content = _content(name)
        own, others = content["names"], content.get("other_names", {})
        spellings = [own, [others.get(joint, joint) for joint in own]]
        for spelled in spellings if len(own) == len(names) else ():
            order = [place for _, place in sides.same_joints(names, spelled)]
            if len(order) == len(names):
                found.append((order != sorted(order), _PUBLISHED in content, name, order))
    return _ordered(_spec(min(found)[2]), min(found)[3]) if found else None


def named(given: str | Path) -> KeypointSpec | None:
    """Return the joint set of a name; None: there is none of it, or there is a file so named."""
    return None if Path(given).is_file() else JOINT_SETS.get(str(given))


def ordered(spec: KeypointSpec, names: Sequence[str]) -> KeypointSpec:
    """Return a joint set with its joints in the order of `names`, which are the same ones."""
    return _ordered(spec, [place for _, place in sides.same_joints(names, spec.names)])


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


@cache
def _content(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
    return content


@cache
def _spec(name: str) -> KeypointSpec:
    content = _content(name)
    given = {key: value for key, value in content.items() if key in YAML_KEYS}
    if "oks_sigmas" in given:
        return KeypointSpec.from_names(**given, file=name)
    # None is published: those of a body's joints with such names would be as good as any.
    spec = KeypointSpec.from_names(**given, oks_sigmas=ASSUMED_SIGMA, file=name)
    return replace(spec, assumed_sigmas=tuple(range(spec.num_joints)))


def _ordered(spec: KeypointSpec, order: Sequence[int]) -> KeypointSpec:
    """Return a joint set whose joint k is joint `order[k]` of `spec`."""
    new = {old: k for k, old in enumerate(order)}
    return KeypointSpec(
        names=tuple(spec.names[old] for old in order),
        flip_pairs=tuple(sorted((new[a], new[b]) for a, b in spec.flip_pairs)),
        oks_sigmas=tuple(spec.oks_sigmas[old] for old in order),
        skeleton=tuple((new[a], new[b]) for a, b in spec.skeleton),
        upper_body=tuple(sorted(new[old] for old in spec.upper_body)),
        assumed_sigmas=tuple(sorted(new[old] for old in spec.assumed_sigmas)),
        joint_colors=tuple(spec.joint_colors[old] for old in order if spec.joint_colors),
        limb_colors=spec.limb_colors,
    )

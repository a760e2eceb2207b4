# SPDX-License-Identifier: Apache-2.0
"""What a keypoint set is: its joints' names, what a mirror exchanges, how exactly each is labeled.

A network of K heatmaps says nothing about what its K joints are. Everything that depends on it
(the mirrored person, the half-body crop, OKS, the drawn skeleton) reads one `KeypointSpec`, so that
a new keypoint set is data, not code. It comes from a COCO-style category, a YAML file, or both:

    names: [left_ear, right_ear, muzzle]       # only where the JSON does not name them
    flip_pairs: [[left_ear, right_ear]]        # default: left_x with right_x
    skeleton: [[left_ear, muzzle]]             # default: the JSON's
    oks_sigmas: {muzzle: 0.03}                 # default: `OKS_SIGMAS` by name
    upper_body: [left_ear, right_ear, muzzle]  # default: all that is not a hip or below
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

OKS_SIGMAS: dict[str, float] = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    # COCO has no sigma for these. Head top and neck have CrowdPose's; the two centers of the trunk
    # have those of the joints they lie between.
    "head_top": 0.079,
    "neck": 0.079,
    "upper_neck": 0.079,
    "thorax": 0.079,
    "pelvis": 0.107,
}
"""The annotators' standard deviation, as a share of the person's scale, by name without side."""

_LOWER_BODY = {"pelvis", "hip", "knee", "ankle", "heel", "foot", "toe"}
_SIDES = ("left_", "right_")
_YAML_KEYS = {"names", "flip_pairs", "skeleton", "oks_sigmas", "upper_body"}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeypointSpec:
    """A keypoint set of K joints; indices are 0-based.

    Raises:
        ValueError: names repeat, an index is out of range, a joint is in two flip pairs, or the OKS
            sigmas are not K positive numbers.
    """

    names: tuple[str, ...]
    """K names."""
    flip_pairs: tuple[tuple[int, int], ...]
    """Pairs of joints that a mirror exchanges."""
    oks_sigmas: tuple[float, ...]
    """K sigmas in COCO's unit: half of the k of OKS = exp(-d^2 / (2 area k^2))."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Pairs of joints to draw a limb between."""
    upper_body: tuple[int, ...] = ()
    """Joints that a half-body crop keeps together; the others are its other half."""

    def __post_init__(self) -> None:
        # Lists arrive from YAML and checkpoints; tuples keep the object hashable.
        for field in ("names", "oks_sigmas", "upper_body"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for field in ("flip_pairs", "skeleton"):
            object.__setattr__(self, field, tuple((a, b) for a, b in getattr(self, field)))
        self._check()

    def _check(self) -> None:
        count = len(self.names)
        if count == 0 or len(set(self.names)) != count:
            raise ValueError(f"keypoint names must be given and differ, got {list(self.names)}")
        indices = {
            "flip_pairs": [joint for pair in self.flip_pairs for joint in pair],
            "skeleton": [joint for pair in self.skeleton for joint in pair],
            "upper_body": list(self.upper_body),
        }
        for field, joints in indices.items():
            outside = [joint for joint in joints if not 0 <= joint < count]
            if outside:
                raise ValueError(f"{field} must index {count} joints, got {outside[0]}")
        if len(set(indices["flip_pairs"])) != len(indices["flip_pairs"]):
            raise ValueError(f"flip_pairs must name each joint once, got {list(self.flip_pairs)}")
        usable = all(math.isfinite(sigma) and sigma > 0 for sigma in self.oks_sigmas)
        if len(self.oks_sigmas) != count or not usable:
            raise ValueError(
                f"oks_sigmas must be {count} positive numbers, got {list(self.oks_sigmas)}"
            )

    @property
    def num_joints(self) -> int:
        """K."""
        return len(self.names)

    @property
    def flip_index(self) -> tuple[int, ...]:
        """K indices: joint k of the mirrored person is joint `flip_index[k]` of the person."""
        index = list(range(self.num_joints))
        for a, b in self.flip_pairs:
            index[a], index[b] = b, a
        return tuple(index)

    @classmethod
    def from_names(
        cls,
        names: Sequence[str],
        *,
        flip_pairs: Sequence[Sequence[str]] | None = None,
        skeleton: Sequence[Sequence[str]] | None = None,
        oks_sigmas: Mapping[str, float] | Sequence[float] | None = None,
        upper_body: Sequence[str] | None = None,
    ) -> "KeypointSpec":
        """Make a spec from joint names, filling in what names alone tell.

        Args:
            names: K names.
            flip_pairs: pairs of names; default: each `left_x` with its `right_x`.
            skeleton: pairs of names; default: none.
            oks_sigmas: K numbers, or numbers by name for joints that `OKS_SIGMAS` does not know.
            upper_body: names; default: all but pelvis, hips, knees, ankles, heels, feet and toes.

        Raises:
            ValueError: a name is unknown or has no partner, or a sigma is neither given nor known.
        """
        names = [str(name) for name in names]

        def index(name: str, field: str) -> int:
            if name not in names:
                raise ValueError(f"{field} must use the names {names}, got {name!r}")
            return names.index(name)

        def pairs(value: Sequence[Sequence[str]], field: str) -> tuple[tuple[int, int], ...]:
            wrong = [pair for pair in value if isinstance(pair, str) or len(pair) != 2]
            if wrong:
                raise ValueError(f"{field} must be pairs of names, got {wrong[0]!r}")
            return tuple((index(a, field), index(b, field)) for a, b in value)

        if upper_body is None:
            upper_body = [name for name in names if not _LOWER_BODY & set(name.lower().split("_"))]
        return cls(
            names=tuple(names),
            flip_pairs=pairs(
                _matching_sides(names) if flip_pairs is None else flip_pairs, "flip_pairs"
            ),
            oks_sigmas=_sigmas(names, oks_sigmas),
            skeleton=pairs(skeleton or [], "skeleton"),
            upper_body=tuple(index(name, "upper_body") for name in upper_body),
        )

    @classmethod
    def from_category(
        cls, category: Mapping[str, Any], extra: Mapping[str, Any] | None = None
    ) -> "KeypointSpec":
        """Make a spec from a COCO category (its skeleton is 1-based), completed by YAML content.

        Raises:
            ValueError: neither names the joints, or they name them differently.
        """
        extra = dict(extra or {})
        names = list(category.get("keypoints") or extra.get("names") or [])
        if not names:
            raise ValueError(
                "the annotation file's category must list its keypoints, "
                "or a YAML file must give `names`; got neither"
            )
        if list(extra.pop("names", names)) != names:
            raise ValueError(f"the YAML's names must be the annotation file's, {names}, got others")
        limbs = category.get("skeleton") or []
        if any(not 1 <= joint <= len(names) for limb in limbs for joint in limb):
            raise ValueError(f"a category's skeleton must use 1 to {len(names)}, got {limbs}")
        extra.setdefault("skeleton", [[names[a - 1], names[b - 1]] for a, b in limbs])
        return cls.from_names(names, **extra)

    @classmethod
    def from_yaml(cls, path: str | Path) -> "KeypointSpec":
        """Make a spec from a YAML file that names the joints."""
        return cls.from_category({}, read_spec_yaml(path))


def read_spec_yaml(path: str | Path) -> dict[str, Any]:
    """Read a keypoint YAML, and check that it has only the keys this module's docstring shows.

    Raises:
        ValueError: it is not a mapping of those keys.
    """
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not content.keys() <= _YAML_KEYS:
        got = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} must be a mapping with keys of {sorted(_YAML_KEYS)}, got {got}")
    return content


def _matching_sides(names: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for name in names:
        if not name.startswith(_SIDES):
            continue
        side, joint = name.split("_", 1)
        partner = ("right_" if side == "left" else "left_") + joint
        if partner not in names:
            raise ValueError(f"{name!r} has no partner {partner!r}: give flip_pairs in a YAML file")
        if side == "left":
            pairs.append((name, partner))
    if not pairs and len(names) > 1:
        _logger.warning(
            "no keypoint is named left_... or right_...: a mirror exchanges none of them"
        )
    return pairs


def _sigmas(
    names: Sequence[str], given: Mapping[str, float] | Sequence[float] | None
) -> tuple[float, ...]:
    if given is not None and not isinstance(given, Mapping):
        return tuple(float(sigma) for sigma in given)
    by_name = dict(given or {})
    stray = sorted(set(by_name) - set(names))
    if stray:
        raise ValueError(f"oks_sigmas must use the names {list(names)}, got {stray[0]!r}")
    for name in names:
        joint = name.lower()
        for side in _SIDES:
            joint = joint.removeprefix(side)
        if name not in by_name and joint in OKS_SIGMAS:
            by_name[name] = OKS_SIGMAS[joint]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"no OKS sigma is known for {unknown}: give oks_sigmas in a YAML file")
    return tuple(float(by_name[name]) for name in names)

# SPDX-License-Identifier: Apache-2.0
"""What a keypoint set is: its joints' names, what a mirror exchanges, how exactly each is labeled.

A network of K heatmaps says nothing about what its K joints are. Everything that depends on it
(the mirrored person, the half-body crop, OKS, the drawn skeleton) reads one `KeypointSpec`, so that
a new keypoint set is data, not code. It comes from a COCO-style category, a YAML file, or both:

    names: [left_ear, right_ear, muzzle]       # only where the JSON does not name them
    flip_pairs: [[left_ear, right_ear]]        # default: left and right by name; []: none
    skeleton: [[left_ear, muzzle]]             # default: the JSON's
    oks_sigmas: {muzzle: 0.03}                 # or one for all; default: `OKS_SIGMAS`, else 0.05
    upper_body: [left_ear, right_ear, muzzle]  # default: all that is not a hip or below
    joint_colors: ["#ff8000", "#00ff00", "#3399ff"]  # default: by side, see `drawing`
    limb_colors: ["#ff8000"]                   # default: that of a limb's second joint

Where the names are those of a published joint set, see `darkpose.data.joint_sets`, the defaults are
that set's. Names are understood however they are spelled, see `darkpose.data.sides`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from darkpose.data import joint_values as values
from darkpose.data import sides
from darkpose.data.joint_values import read_spec_yaml
from darkpose.values import shown

__all__ = ["ASSUMED_SIGMA", "OKS_SIGMAS", "KeypointSpec", "read_spec_yaml"]

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
ASSUMED_SIGMA = 0.05
"""That of a joint whose sigma nobody has published, if none is given."""

_LOWER_BODY = {"pelvis", "hip", "knee", "ankle", "heel", "foot", "toe"}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeypointSpec:
    """A keypoint set of K joints; indices are 0-based.

    Raises:
        ValueError: names repeat, an index is out of range, a joint is in two flip pairs, the OKS
            sigmas are not K positive numbers, or a field is of another kind.
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
    assumed_sigmas: tuple[int, ...] = ()
    """Joints whose sigma is `ASSUMED_SIGMA`, as none was known or given."""
    joint_colors: tuple[str, ...] = ()
    """K colors, "#rrggbb", to draw joints with; none: those of `darkpose.data.drawing`."""
    limb_colors: tuple[str, ...] = ()
    """Of the limbs of `skeleton`; none: a limb has the color of its second joint."""

    def __post_init__(self) -> None:
        # Lists arrive from YAML and checkpoints; tuples keep the object hashable.
        names = values.as_list(self.names, "names")
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"keypoint names must be given and be text, got {shown(names)}")
        if len(set(names)) != len(names):
            raise ValueError(f"keypoint names must differ, got {shown(names)}")

        def ends(value: Any, field: str) -> tuple[int, ...]:
            return values.as_indices(value, field, len(names))

        given = values.as_list(self.oks_sigmas, "oks_sigmas")
        sigmas = values.sigmas(given, [None] * len(names), ends)
        if None in sigmas:
            raise ValueError(
                f"oks_sigmas must be {len(names)} positive numbers, got {shown(given)}"
            )
        checked = {
            "names": tuple(names),
            "oks_sigmas": tuple(sigmas),
            "upper_body": ends(self.upper_body, "upper_body"),
            "assumed_sigmas": ends(self.assumed_sigmas, "assumed_sigmas"),
            "flip_pairs": values.as_pairs(self.flip_pairs, "flip_pairs", ends),
            "skeleton": values.as_pairs(self.skeleton, "skeleton", ends),
            "joint_colors": values.colors(self.joint_colors, "joint_colors", len(names)),
        }
        limbs = len(checked["skeleton"])
        checked["limb_colors"] = values.colors(self.limb_colors, "limb_colors", limbs)
        paired = [joint for pair in checked["flip_pairs"] for joint in pair]
        if len(set(paired)) != len(paired):
            raise ValueError(f"flip_pairs must name each joint once, got {shown(self.flip_pairs)}")
        for field, value in checked.items():
            object.__setattr__(self, field, value)

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

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values; colors, which are younger than the rest, if any."""
        return {key: value for key, value in asdict(self).items() if value or "color" not in key}

    @property
    def assumed_names(self) -> list[str]:
        """Names of the joints whose sigma is assumed."""
        return [self.names[k] for k in self.assumed_sigmas]

    @classmethod
    def from_names(
        cls,
        names: Sequence[str],
        *,
        flip_pairs: Sequence[Sequence[str]] | None = None,
        skeleton: Sequence[Sequence[str]] | None = None,
        oks_sigmas: Mapping[str, float] | Sequence[float] | float | None = None,
        upper_body: Sequence[str] | None = None,
        joint_colors: Mapping[str, str] | Sequence[str | None] | None = None,
        limb_colors: Sequence[str] | None = None,
        like: "KeypointSpec | None" = None,
        file: object = None,
    ) -> "KeypointSpec":
        """Make a spec from joint names, filling in what names alone tell.

        Args:
            names: K names.
            flip_pairs: pairs of names; default: each left joint with its right one, see
                `darkpose.data.sides`. What is unclear is warned of.
            skeleton: pairs of names; default: none.
            oks_sigmas: K numbers, numbers by name, or one for all joints. The rest have those of
                `OKS_SIGMAS`, or `ASSUMED_SIGMA` with a warning.
            upper_body: names; default: all but pelvis, hips, knees, ankles, heels, feet and toes.
            joint_colors: K of them, or by name; default: none.
            limb_colors: one for each limb; default: none.
            like: a set with these joints in this order, whose all is that is not given.
            file: that warnings name.

        Raises:
            ValueError: a value is not that, or a name is unknown.
        """
        names = values.as_names(names, "names")
        read = values.places(names)
        pairs: Sequence[tuple[int, int]] = ()
        notes: list[str] = []
        if like is None:
            joints = [one.joint for one in sides.sides(names)]
            known = [OKS_SIGMAS.get(joint) for joint in joints]
            upper = [k for k, joint in enumerate(joints) if not _LOWER_BODY & {*joint.split("_")}]
            like = cls(tuple(names), (), (ASSUMED_SIGMA,) * len(names), upper_body=tuple(upper))
            if flip_pairs is None:
                pairs, notes = sides.flip_pairs(names)
        else:
            pairs = like.flip_pairs
            known = [None if k in like.assumed_sigmas else s for k, s in enumerate(like.oks_sigmas)]
        found = values.sigmas(oks_sigmas, known, read)
        assumed = [k for k, sigma in enumerate(found) if sigma is None]
        if assumed:
            unknown = sides.listed([names[k] for k in assumed])
            notes.append(
                f"no OKS sigma is published for {unknown}: {ASSUMED_SIGMA:g} is assumed, "
                "unless oks_sigmas in the file of data.joints says another"
            )
        for note in notes:
            _logger.warning("%s%s", "" if file is None else f"{file}: ", note)
        limbs = like.skeleton if skeleton is None else values.as_pairs(skeleton, "skeleton", read)
        if limb_colors is None:
            own = () if joint_colors is not None else like.joint_colors
            limb_colors = values.limb_colors(limbs, like.skeleton, like.limb_colors, own)
        if isinstance(joint_colors, Mapping):
            places = read(list(joint_colors), "joint_colors")
            by_place = dict(enumerate(like.joint_colors))
            by_place |= zip(places, joint_colors.values(), strict=True)
            joint_colors = [by_place.get(k) for k in range(len(names))]
        return cls(
            names=tuple(names),
            flip_pairs=tuple(
                pairs if flip_pairs is None else values.as_pairs(flip_pairs, "flip_pairs", read)
            ),
            oks_sigmas=tuple(ASSUMED_SIGMA if sigma is None else sigma for sigma in found),
            skeleton=limbs,
            upper_body=tuple(
                like.upper_body if upper_body is None else read(upper_body, "upper_body")
            ),
            assumed_sigmas=tuple(assumed),
            joint_colors=values.colors(
                like.joint_colors if joint_colors is None else joint_colors,
                "joint_colors",
                len(names),
            ),
            limb_colors=tuple(limb_colors),
        )

    @classmethod
    def from_category(
        cls,
        category: Mapping[str, Any],
        extra: Mapping[str, Any] | None = None,
        *,
        like: "KeypointSpec | None" = None,
        file: object = None,
    ) -> "KeypointSpec":
        """Make a spec from a COCO category, completed by YAML content and a joint set.

        The YAML wins where both say something: its spelling of the names, in the category's order,
        and its skeleton. A category's limbs count joints from 1, from 0 if there is a 0, or name
        them; those that do not are left out with a warning. What neither says is as in the set.

        Args:
            category: of a COCO-style file.
            extra: what a YAML file gives, see `darkpose.data.spec`.
            like: the joint set; default: the one with these joints, if any has them.
            file: that warnings name.

        Raises:
            ValueError: neither names the joints, they name them differently, or a value is wrong.
        """
        from darkpose.data import joint_sets

        extra = {name: value for name, value in (extra or {}).items() if value is not None}
        names = values.as_names(category.get("keypoints") or [], "a category's keypoints")
        told = joint_sets.matching(names)
        if told is not None and like is not None and {*told.names} == {*like.names}:
            names = list(told.names)
        given = extra.pop("names", None) or (names if like is None else like.names)
        given = values.as_names(given, "names")
        if not given:
            raise ValueError(
                "the annotation file's category must list its keypoints, "
                "or a YAML file must give `names`; got neither"
            )
        if names and given != names:
            same = dict(sides.same_joints(names, given))
            if not len(same) == len(names) == len(given):
                other = [name for k, name in enumerate(given) if k not in same.values()]
                raise ValueError(
                    f"{'the YAML' if like is None else 'the joint set'}'s names must be the "
                    f"annotation file's, {sides.listed(names)}, "
                    f"got {len(given)} for {len(names)}, among them {sides.listed(other or given)}"
                )
            given = [given[same[k]] for k in range(len(names))]
        if "skeleton" not in extra and category.get("skeleton"):
            limbs = values.limbs(category["skeleton"], given, file)
            extra["skeleton"] = [(given[a], given[b]) for a, b in limbs]
        known = joint_sets.matching(given) if like is None else joint_sets.ordered(like, given)
        return cls.from_names(given, **extra, like=known, file=file)

    @classmethod
    def from_yaml(cls, path: str | Path) -> "KeypointSpec":
        """Make a spec from a YAML file that names the joints, or from the name of a joint set.

        Raises:
            OSError: there is no such file or set.
            ValueError: it is not that; the message names it.
        """
        from darkpose.data import joint_sets

        if (known := joint_sets.named(path)) is not None:
            return known
        content = read_spec_yaml(path)
        try:
            return cls.from_category({}, content, file=path)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

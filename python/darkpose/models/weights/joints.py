# SPDX-License-Identifier: Apache-2.0
"""What a file of other people's weights says of its joints: mmpose 1.x keeps it in `meta`."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkpose.data.joint_sets import JOINT_SETS, matching
from darkpose.data.joint_values import as_indices, as_pairs
from darkpose.data.spec import KeypointSpec
from darkpose.models.torch_files import floats
from darkpose.models.weights.formats import Weights
from darkpose.values import shown


def joints_of(weights: Weights, given: str | Path | None) -> KeypointSpec:
    """Return the joints of a pose network: those that are given, else those that its file names.

    Args:
        weights: of the file.
        given: name of a joint set, or a YAML file.

    Raises:
        OSError: there is no such set or file.
        ValueError: they are not as many as the network's, or neither says them.
    """
    count, path = weights.num_joints, weights.path
    if given is not None:
        spec = KeypointSpec.from_yaml(given)
        if spec.num_joints != count:
            raise ValueError(
                f"{given} must name the {count} joints of {path}, got {spec.num_joints}"
            )
        return spec
    meta = weights.others.get("meta")
    told = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    if isinstance(told, Mapping) and isinstance(told.get("keypoint_id2name"), Mapping):
        try:
            return _of_mmpose(told, count)
        except ValueError as error:
            raise ValueError(f"{path}: its dataset_meta: {error}") from error
    sets = [name for name in JOINT_SETS if JOINT_SETS[name].num_joints == count]
    first = "coco" if "coco" in sets else next(iter(sets), None)
    known = f"--joints {first} (there are {', '.join(sets)}), or " if sets else ""
    raise ValueError(
        f"--joints must name the {count} joints of {path}, which says nothing of them: "
        f"{known}a YAML file with their names"
    )


def _of_mmpose(told: Mapping[str, Any], count: int | None) -> KeypointSpec:
    """Return the joints of mmpose's `dataset_meta`.

    A joint set of these names has what is not there, and what is there but for the order of pairs.
    """
    by_place = told["keypoint_id2name"]
    names = [by_place.get(k) for k in range(len(by_place))]
    if len(names) != count or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"keypoint_id2name must name the network's {count} joints, got {shown(names)}"
        )
    known = matching(names)
    more: dict[str, Any] = {}

    def ends(value: Any, field: str) -> tuple[int, ...]:
        return as_indices(value, field, len(names))

    if told.get("flip_indices") is not None:
        mirrored = ends(told["flip_indices"], "flip_indices")
        if len(mirrored) != len(names) or any(mirrored[k] != i for i, k in enumerate(mirrored)):
            raise ValueError(
                f"flip_indices must mirror {len(names)} joints, each to one that mirrors back, "
                f"got {shown(told['flip_indices'])}"
            )
        if known is None or known.flip_index != mirrored:
            more["flip_pairs"] = [(names[i], names[k]) for i, k in enumerate(mirrored) if i < k]
    limbs = as_pairs(told.get("skeleton_links") or (), "skeleton_links", ends)
    if limbs and not (known and {*map(frozenset, limbs)} == {*map(frozenset, known.skeleton)}):
        more["skeleton"] = [(names[a], names[b]) for a, b in limbs]
    sigmas = floats(told.get("sigmas"), len(names))
    if sigmas and not (known and all(map(_close, sigmas, known.oks_sigmas))):
        more["oks_sigmas"] = sigmas
    return KeypointSpec.from_names(names, **more, like=known)


def _close(sigma: float, other: float) -> bool:
    return math.isclose(sigma, other, rel_tol=1e-5)

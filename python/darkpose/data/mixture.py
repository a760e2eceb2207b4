# SPDX-License-Identifier: Apache-2.0
"""Data sets with different joints as one: what a network learns from more people than one set has.

Joints are matched by name, however it is spelled. A joint that a data set does not label carries no
weight there, so that it is neither learned nor unlearned from its people.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from darkpose.data.annotations import Annotations, PersonRecord
from darkpose.data.sides import listed, same_joints
from darkpose.data.spec import KeypointSpec


def remap(annotations: Annotations, spec: KeypointSpec) -> Annotations:
    """Return the people with the joints of another keypoint set, matched by name (`sides`).

    Joints that the people's own set lacks are not labeled (v = 0); people who have none of the
    joints labeled are left out.

    Raises:
        ValueError: the sets have no joint in common, or nobody is left.
    """
    own = annotations.spec.names
    shared = same_joints(spec.names, own)
    if not shared:
        raise ValueError(
            f"joints must share a name to be mapped, got {listed(own)} for {listed(spec.names)}"
        )
    to, from_ = (list(indices) for indices in zip(*shared, strict=True))

    def mapped(record: PersonRecord) -> PersonRecord:
        joints = np.zeros((spec.num_joints, 3))
        joints[to] = record.joints[from_]
        return replace(record, joints=joints)

    people = tuple(map(mapped, annotations.records))
    labeled = tuple(person for person in people if person.joints[:, 2].any())
    if not labeled:
        raise ValueError(
            f"people must have one of the joints {listed([spec.names[k] for k in to])} labeled, "
            f"got {len(people)} without"
        )
    return Annotations(labeled, spec, annotations.category_id, file=annotations.file)


def concatenate(parts: Sequence[Annotations]) -> Annotations:
    """Return the people of all parts, one after the other, as the first part's category.

    Raises:
        ValueError: there are no parts, or they have other joints than the first (see `remap`).
    """
    if not parts:
        raise ValueError("concatenate needs at least one part, got none")
    first = parts[0]
    for part in parts:
        if part.spec.names != first.spec.names:
            raise ValueError(
                f"parts must have the joints of the first, {list(first.spec.names)}, "
                f"got {list(part.spec.names)}"
            )
    records = tuple(record for part in parts for record in part.records)
    files = ", ".join(dict.fromkeys(str(part.file) for part in parts))
    return Annotations(records, first.spec, first.category_id, file=files)

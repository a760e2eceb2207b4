# SPDX-License-Identifier: Apache-2.0
"""Whether two runs have learned from the same people: a short digest of what a data set says."""

import hashlib
from collections.abc import Sequence

import numpy as np

from darkpose.data.annotations import PersonRecord
from darkpose.data.spec import KeypointSpec


def people_digest(records: Sequence[PersonRecord], spec: KeypointSpec) -> str:
    """Return 16 hexadecimal digits of people: their images' names and sizes, boxes, areas,
    heads and joints.

    Neither folders nor the file's form are in it: a moved or reformatted file has the same one.
    """
    digest = hashlib.sha256(repr((spec.names, spec.flip_pairs)).encode())
    names = "\n".join(record.image_path.name for record in records)
    digest.update(names.encode(errors="surrogatepass"))
    crops = [(*r.crop.center, *r.crop.size) if r.crop else (0.0,) * 4 for r in records]
    # The size decides whether a photo is turned, and where a box ends.
    numbers = [
        (*r.box, r.area, r.score, *(r.image_size or (0, 0)), r.head_size or 0.0) for r in records
    ]
    for values in (numbers, crops, [record.joints for record in records]):
        digest.update(np.ascontiguousarray(values, np.float64).tobytes())
    return digest.hexdigest()[:16]

# SPDX-License-Identifier: Apache-2.0
"""Synthetic people: a data set that fits in the source tree and is drawn in seconds.

Everything is computed from a seed: articulated figures in space (`body`), dressed (`figure`,
`head`, `fabric`), drawn by depth (`render`), among other people and things (`surroundings`), as a
camera takes them (`scene`) and as COCO stores its key points (`write`).
"""

from darkpose.paper.synthetic.scene import Person, Scene, draw_scene
from darkpose.paper.synthetic.write import write_dataset

__all__ = ["Person", "Scene", "draw_scene", "write_dataset"]

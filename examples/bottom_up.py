# SPDX-License-Identifier: Apache-2.0
"""Several animals in one map: what a bottom-up network says of a whole image, read by decode_peaks.

    python examples/bottom_up.py

Such a network has one heatmap for each joint of all animals together. It is drawn here, so that
nothing need be downloaded: a Gaussian for each animal's joint, with noise, and one animal whose
tail is hidden. Which peaks belong to one animal the network's other outputs say (affinity fields,
tags, centers); here the nearest head is taken.
"""

import torch

import darkpose_ext as dark

JOINTS = ("nose", "head", "tail")
SIGMA = 2.0  # of the network's training, in heatmap pixels
MOST = 6  # animals that are looked for
ANIMALS = torch.tensor(  # [N, K, 2] (x, y) in heatmap pixels
    [
        [[20.3, 15.8], [26.1, 18.4], [44.7, 20.2]],
        [[70.6, 40.1], [70.2, 46.9], [67.4, 66.3]],
        [[31.2, 70.5], [25.4, 67.1], [8.9, 58.6]],
    ]
)
HEIGHTS = torch.tensor([[1.0, 0.6, 0.9], [0.7, 0.9, 0.8], [0.8, 0.8, 0.0]])  # [N, K], 0: hidden


def network() -> torch.Tensor:
    """Return the maps [K, 80, 96] that a network would have predicted."""
    alone, _ = dark.encode(ANIMALS, torch.ones(3, 3), 80, 96, SIGMA)  # [N, K, 80, 96]
    together = (HEIGHTS[:, :, None, None] * alone).amax(0)
    torch.manual_seed(0)
    return together + 0.01 * torch.rand(together.shape)


heatmaps = network()
coords, scores, count = dark.decode_peaks(
    heatmaps, dark.gaussian_taps(SIGMA), k=MOST, radius=3, threshold=0.2
)  # [K, 6, 2], [K, 6], [K]

for joint, name in enumerate(JOINTS):
    print(f"{name}: {count[joint]} found")
    for (x, y), score in zip(coords[joint, : count[joint]], scores[joint], strict=False):
        print(f"  ({x:.1f}, {y:.1f}), {score:.2f}")

heads = coords[1, : count[1]]
for joint in (0, 2):
    distance = torch.cdist(heads, coords[joint, : count[joint]])  # [animals, peaks]
    nearest = distance.argmin(0)  # a head for each peak
    for peak, animal in enumerate(nearest.tolist()):
        print(f"the {JOINTS[joint]} of animal {animal} is peak {peak}")

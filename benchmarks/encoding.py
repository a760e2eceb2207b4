# SPDX-License-Identifier: Apache-2.0
"""Does the encoding of the targets matter, and when? Twelve networks, read at doubling counts.

    python benchmarks/encoding.py [--out runs/encoding] [--json FILE] [--figure FILE]

One textured object with exact labels (`encoding_scenes`), the small network, sigma 1, Adam at a
constant rate; its weights are read as their average, in which those of the last tenth of the
training count most. Unbiased, rounded and floored targets on the whole map and rounded ones cut at
3 sigma, as HRNet has them, each from three seeds: runs of one seed see the same images in the same
order from the same start. A run takes four and a half minutes of one core; those that the folder
holds are read, not trained again. Then `encoding_figures` says what came out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import darkpose_ext
from benchmarks import harness
from benchmarks.encoding_figures import own_errors, picture, rows_of, tables
from benchmarks.encoding_scenes import JOINTS, Scenes
from darkpose.models.small import SmallNet

SIGMA = 1.0
TARGETS = {
    "unbiased": ("none", False),
    "round": ("round", False),
    "floor": ("floor", False),
    "round, truncated": ("round", True),
}
FIRST = 250  # images seen when a network is read first, then at every doubling
BATCH = 25  # divides FIRST
RATE = 1e-3
HELD_OUT = 1000  # images that no run trains on
DECODERS = {
    "argmax": ("argmax", []),
    "standard": ("standard", []),
    "dark_unmodulated": ("dark", []),
    "dark": ("dark", darkpose_ext.gaussian_taps(SIGMA)),
}


class Average:
    """The average of a network's weights and statistics, the last tenth of the steps foremost."""

    def __init__(self, network: nn.Module) -> None:
        self.state = {name: value.clone() for name, value in network.state_dict().items()}
        self._steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take a step's weights in."""
        self._steps += 1
        share = 9 / (10 + self._steps)
        for name, value in network.state_dict().items():
            mean = self.state[name]
            mean.lerp_(value, share) if mean.is_floating_point() else mean.copy_(value)


@torch.no_grad()
def read(state: dict[str, Tensor], held_out: list[Tensor]) -> dict[str, Tensor]:
    """Return each decoder's coordinates [N, K, 2] in heatmap pixels."""
    network = SmallNet(JOINTS)
    network.load_state_dict(state)
    network.eval()
    heatmaps = torch.cat([network(images) for images in held_out])
    found = {}
    for name, (method, taps) in DECODERS.items():
        found[name], _ = darkpose_ext.decode(heatmaps, taps, method=method)
    return found


def train(
    target: str, seed: int, counts: list[int], held_out: list[Tensor]
) -> dict[str, np.ndarray]:
    """Return the coordinates [C, N, K, 2] that each decoder reads at each count of images."""
    rounding, truncate = TARGETS[target]
    torch.manual_seed(seed)
    network, scenes = SmallNet(JOINTS), Scenes(seed + 1)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    average, weights = Average(network), torch.ones(BATCH, JOINTS)
    found: dict[str, list[Tensor]] = {name: [] for name in DECODERS}
    for step in range(counts[-1] // BATCH):
        images, joints = scenes.batch(step, BATCH)
        loss = darkpose_ext.heatmap_mse(
            network(images), joints, weights, SIGMA, rounding=rounding, truncate=truncate
        ).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network)
        if (step + 1) * BATCH in counts:
            for name, coords in read(average.state, held_out).items():
                found[name].append(coords)
    return {name: torch.stack(coords).numpy() for name, coords in found.items()}


def main() -> None:
    """Train what the folder lacks, print, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/encoding"))
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--figure", type=Path, help="picture to draw them in")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--doublings", type=int, default=7, help=f"of the {FIRST} images")
    options = parser.parse_args()
    counts = [FIRST * 2**i for i in range(options.doublings + 1)]
    harness.prepare()
    options.out.mkdir(parents=True, exist_ok=True)
    batches = [Scenes(0).batch(number, 100) for number in range(HELD_OUT // 100)]
    held_out, joints = [images for images, _ in batches], torch.cat([j for _, j in batches])
    runs = {}
    for seed in options.seeds:
        for target in options.targets:
            path = options.out / f"{target.replace(', ', '_')}-{seed}.npz"
            if not path.exists():
                start = time.process_time()
                found = train(target, seed, counts, held_out)
                np.savez(path, joints=joints, counts=counts, **found)
                print(f"{path}: {time.process_time() - start:.0f} s", flush=True)
            with np.load(path) as file:
                runs[target, seed] = dict(file)
    rows = rows_of(runs, list(DECODERS))
    own = own_errors(joints.numpy())
    print(f"rounding's own error: {own['round']:.3f}, flooring's {own['floor']:.3f}\n")
    print(tables(rows, "dark"))
    if options.json:
        harness.write(options.json, {"machine": harness.machine(), "own": own, "rows": rows})
    if options.figure:
        picture(rows, "dark", own).savefig(options.figure, transparent=True)


if __name__ == "__main__":
    main()

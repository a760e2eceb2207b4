# SPDX-License-Identifier: Apache-2.0
"""Programs that call every op, to be exported by a version and run by all later ones.

    python tests/earlier_programs.py FOLDER

writes `ops.pt2` (`torch.export.save`), `ops.onnx` and `ops.npz`: their inputs, what the ops gave.
Those in `tests/programs` were made by the last version whose `decode` had no `border`, with torch
2.10, the oldest that is served.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import darkpose_ext
from darkpose_ext import gaussian_taps

PROGRAMS = Path(__file__).parent / "programs"
TAPS = gaussian_taps(2.0)
FLIP_INDEX = [1, 0, 2]


class Portable(nn.Module):
    """What can be said in ONNX: `crop` and `decode`, with every argument."""

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        ops = torch.ops.dark
        maps, flipped, transform = (inputs[name] for name in ("maps", "flipped", "transform"))
        found = {}
        for method in ("dark", "standard", "second_max", "argmax"):
            found[f"{method} coords"], found[f"{method} scores"] = ops.decode(
                maps, TAPS if method == "dark" else [], method=method
            )
        found["flip coords"], found["flip scores"] = ops.decode(
            maps, TAPS, flipped, transform, flip_index=FLIP_INDEX, flip_shift=1, max_shift=0.4
        )
        index = torch.zeros_like(transform[:, 0, 0], dtype=torch.long)
        for kind in ("bilinear", "bicubic"):
            found[kind] = ops.crop([inputs["image"]], index, transform, 6, 5, interpolation=kind)
        mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
        found["normalized"] = ops.crop(
            [inputs["image"]], index, transform, 6, 5, mean=mean, std=std, dtype=torch.float32
        )
        return found


class EveryOp(Portable):
    """All the others too."""

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        ops, found = torch.ops.dark, super().forward(inputs)
        maps, joints, weights = (inputs[name] for name in ("maps", "joints", "weights"))
        transform = inputs["transform"]
        found["targets"], found["counted"] = ops.encode(joints, weights, 16, 12, 2.0, transform)
        found["biased"], _ = ops.encode(
            joints, weights, 16, 12, 2.0, rounding="round", truncate=True, dtype=torch.float16
        )
        found["modulated"] = ops.modulate(maps, TAPS)
        found["released"] = ops.modulate(maps, TAPS, rescale="max")
        found["loss"] = ops.heatmap_mse(maps, joints, weights, 2.0, transform)
        found["gradient"] = ops.heatmap_mse_backward(
            weights, maps, joints, weights, 2.0, rounding="floor", truncate=True
        )
        return found


def example() -> dict[str, Tensor]:
    """Return inputs of 4 people, 3 joints, maps of 16x12: peaks everywhere, at the border too."""
    random = np.random.default_rng(0)
    joints = torch.from_numpy(random.uniform(0, (11, 15), (4, 3, 2)).astype("f"))
    weights = torch.ones(4, 3)
    noise = torch.from_numpy(random.normal(0, 0.02, (2, 4, 3, 16, 12)).astype("f"))
    maps, _ = darkpose_ext.encode(joints, weights, 16, 12, 2.0)
    flipped, _ = darkpose_ext.encode(joints + 0.3, weights, 16, 12, 2.0)
    image = torch.from_numpy(random.integers(0, 256, (9, 11, 3), dtype="u1"))
    return {
        "maps": maps + noise[0],
        "flipped": flipped[:, FLIP_INDEX].flip(-1) + noise[1],
        "joints": joints,
        "weights": weights * torch.tensor([1.0, 0.5, 0.0]),
        "transform": torch.tensor([[0.9, 0.2, 1.0], [-0.2, 1.1, 0.5]]).repeat(4, 1, 1),
        "image": image,
    }


def main(folder: Path) -> None:
    """Export, and run once in this process."""
    from darkpose_ext.onnx import OPSET, TRANSLATIONS

    folder.mkdir(parents=True, exist_ok=True)
    inputs = example()
    people = torch.export.Dim("people", min=1)
    shapes = {name: None if name == "image" else {0: people} for name in inputs}
    program = torch.export.export(EveryOp(), (inputs,), dynamic_shapes=(shapes,))
    for traced in program.graph.nodes:
        traced.meta.pop("stack_trace", None)  # which names places of the machine
    torch.export.save(program, folder / "ops.pt2")
    portable = {name: inputs[name] for name in ("maps", "flipped", "transform", "image")}
    shapes = {name: shapes[name] for name in portable}
    written = torch.onnx.export(
        torch.export.export(Portable(), (portable,), dynamic_shapes=(shapes,)),
        opset_version=OPSET,
        custom_translation_table=TRANSLATIONS,
        input_names=list(portable),
        output_names=list(Portable()(portable)),
    )
    model = written.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # traces of the exporter, half of the file
    (folder / "ops.onnx").write_bytes(model.SerializeToString())
    found = EveryOp()(inputs)
    tensors = inputs | {f"found: {name}": value for name, value in found.items()}
    np.savez_compressed(folder / "ops.npz", **{k: v.numpy() for k, v in tensors.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

# SPDX-License-Identifier: Apache-2.0
"""What an exported file computes, and what it says of itself.

Everything between a crop's pixels and a joint's place in the image is inside: order of colors,
normalization, the network, the flip test, decoding, recovery. What a caller must do, cropping, is
told by the metadata: how a box becomes a crop is a property of the checkpoint.
"""

import json
from typing import Any

import torch
from torch import Tensor, nn

from darkpose.data.drawing import skeleton_colors
from darkpose.decoders import find_decoder
from darkpose.models.pose import PoseModel

FORMAT = 1
INPUTS, OUTPUTS = ("crops", "to_image"), ("coords", "scores")


class CropsToKeypoints(nn.Module):
    """A pose model with all that comes before and after it.

    Args:
        model: of a checkpoint.
        decoder: one of the codec's; its best if None.
        flip_test: average over the mirrored crops, which doubles the work.

    Raises:
        ValueError: the codec has no such decoder.
    """

    def __init__(
        self, model: PoseModel, decoder: str | None = None, flip_test: bool = False
    ) -> None:
        super().__init__()
        self.model, self.flip_test = model.eval(), flip_test
        self.decoder = decoder or model.codec.decoders[-1]
        find_decoder(model.codec, self.decoder)

    def forward(
        self,
        crops: Tensor,  # [B, H, W, 3]
        to_image: Tensor,  # [B, 2, 3]
    ) -> tuple[Tensor, Tensor]:  # [B, K, 2], [B, K]
        """Return coordinates in image pixels and scores.

        Args:
            crops: uint8, RGB, of the codec's input size.
            to_image: float32, from heatmap to image pixels: `HeatmapCodec.heatmap_to_image`.
        """
        return self.decode(*self.heatmaps(crops), to_image)

    def heatmaps(self, crops: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the network's maps for the crops and, for the flip test, the mirrored ones."""
        if not self.flip_test:
            return self.model(crops), None
        # Together: half the nodes to compile, and twice the batch.
        both = self.model(torch.cat([crops, crops.flip(2)]))
        plain, mirrored = both.unflatten(0, (2, -1)).unbind()
        return plain, mirrored

    def decode(
        self, heatmaps: Tensor, flipped: Tensor | None, to_image: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, of maps."""
        codec = self.model.codec
        return codec.decode(heatmaps, to_image, decoder=self.decoder, flipped=flipped)

    def metadata(self) -> dict[str, str]:
        """Return what a caller must know, each value as JSON.

        Sizes are (width, height), `skeleton` and `flip_pairs` are pairs of indices into `names`,
        colors (red, green, blue) of each joint and of each line of the skeleton.
        """
        model, codec = self.model, self.model.codec
        colors = skeleton_colors(model.spec)
        values: dict[str, Any] = {
            "format": FORMAT,
            "input_size": codec.input_size,
            "heatmap_size": codec.heatmap_size,
            "convention": codec.convention.value,
            "padding": codec.padding,
            "enlarging": codec.enlarging,
            "names": model.spec.names,
            "skeleton": model.spec.skeleton,
            "flip_pairs": model.spec.flip_pairs,
            "joint_colors": colors.joints,
            "limb_colors": colors.limbs,
            "oks_sigmas": model.spec.oks_sigmas,
            "network": model.network_name,
            "encoding": codec.encoding,
            "sigma": codec.sigma,
            "decoder": self.decoder,
            "flip_test": self.flip_test,
            "torch": torch.__version__,
        }
        return {name: json.dumps(value) for name, value in values.items()}

    def example(self, people: int = 2) -> tuple[Tensor, Tensor]:
        """Return gray crops and matrices that leave coordinates as they are, to trace with."""
        width, height = self.model.codec.input_size
        crops = torch.full((people, height, width, 3), 128, dtype=torch.uint8)
        return crops, torch.eye(2, 3).repeat(people, 1, 1)


def parse_metadata(found: dict[str, str], file: object) -> dict[str, Any]:
    """Return an exported file's metadata with values instead of JSON, without those of others.

    Raises:
        ValueError: `darkpose export` did not write the file, or another version of it did.
    """
    if "format" not in found or "convention" not in found:
        raise ValueError(f"{file} must be written by `darkpose export`, got no metadata of it")
    foreign = ("AOTI_",)  # the compiler's own
    try:
        values = {
            name: json.loads(value) for name, value in found.items() if not name.startswith(foreign)
        }
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} must have metadata in JSON, got {error}") from error
    if values["format"] != FORMAT:
        raise ValueError(f"{file} must be of format {FORMAT}, got {values['format']}")
    return values

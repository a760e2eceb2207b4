# SPDX-License-Identifier: Apache-2.0
"""What an exported file computes, and what it says of itself.

Of crops, everything between their pixels and a joint's place in the image is inside: order of
colors, normalization, the network, the flip test, decoding, recovery. What a caller must do,
cropping, is told by the metadata: how a box becomes a crop is a property of the checkpoint. Of an
image and boxes, that is inside too.
"""

import json
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from darkpose import affine
from darkpose.codec import HeatmapCodec
from darkpose.data.drawing import skeleton_colors
from darkpose.decoders import find_decoder
from darkpose.evaluate.scores import score_threshold
from darkpose.geometry import FARTHEST
from darkpose.models.pose import PoseModel

FORMAT = 1
Precision = Literal["fp32", "fp16"]
"""Of an exported network; what is before and after it always is in float32."""


class CropsToKeypoints(nn.Module):
    """A pose model with all that comes before and after it.

    Args:
        model: of a checkpoint.
        decoder: one of the codec's; its best if None.
        flip_test: average over the mirrored crops, which doubles the work.

    Raises:
        ValueError: the codec has no such decoder.
    """

    inputs, outputs = ("crops", "to_image"), ("coords", "scores")

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
            "border": codec.border,
            "flip_test": self.flip_test,
            "from": self.inputs[0],
            "precision": "fp16" if _in_half(model.network) else "fp32",
            "torch": torch.__version__,
        }
        return {name: json.dumps(value) for name, value in values.items()}

    def example(self, people: int = 2) -> tuple[Tensor, Tensor]:
        """Return gray crops and matrices that leave coordinates as they are, to trace with."""
        width, height = self.model.codec.input_size
        crops = torch.full((people, height, width, 3), 128, dtype=torch.uint8)
        return crops, torch.eye(2, 3).repeat(people, 1, 1)

    def dynamic_shapes(self) -> tuple[dict[int, Any], dict[int, Any]]:
        """Return which dimensions of the inputs may be of any size."""
        batch = torch.export.Dim("batch", min=1)
        return {0: batch}, {0: batch}


class ImageToCrops(nn.Module):
    """From an image and boxes to what `CropsToKeypoints` takes, in float32.

    Args:
        codec: of the checkpoint.
    """

    def __init__(self, codec: HeatmapCodec) -> None:
        super().__init__()
        self.codec = codec

    def forward(
        self,
        image: Tensor,  # [H, W, 3]
        boxes: Tensor,  # [N, 4]
    ) -> tuple[Tensor, Tensor]:  # [N, h, w, 3], [N, 2, 3]
        """Return crops of the input's size and maps from heatmap to image pixels."""
        codec, how = self.codec, self.codec.convention.value
        region = affine.box_centers_sizes(boxes, codec.input_size, how, codec.padding)
        to_image = affine.target_to_image(*region, codec.input_size, how)
        crops = self._crop(image, to_image, "bilinear")
        if codec.enlarging != "bilinear":
            enlarged = self._crop(image, to_image, codec.enlarging)
            enlarges = affine.enlarges(to_image)[:, None, None, None]
            crops = torch.where(enlarges, enlarged, crops)
        assert codec.heatmap_size is not None
        return crops, affine.target_to_image(*region, codec.heatmap_size, how)

    def _crop(self, image: Tensor, to_image: Tensor, interpolation: str) -> Tensor:
        index = torch.zeros(to_image.shape[0], dtype=torch.int64, device=image.device)
        width, height = self.codec.input_size
        return torch.ops.dark.crop(  # type: ignore[no-any-return]
            [image], index, to_image, height, width, interpolation=interpolation
        )


class ImageToKeypoints(nn.Module):
    """`CropsToKeypoints` from an image and boxes, with the crops cut inside.

    Args:
        people: what becomes of the crops.
    """

    inputs, outputs = ("image", "boxes"), ("keypoints", "scores")

    def __init__(self, people: CropsToKeypoints) -> None:
        super().__init__()
        self.cut, self.people = ImageToCrops(people.model.codec), people

    @property
    def model(self) -> PoseModel:
        """The checkpoint's."""
        return self.people.model

    def forward(
        self,
        image: Tensor,  # [H, W, 3]
        boxes: Tensor,  # [N, 4]
    ) -> tuple[Tensor, Tensor]:  # [N, K, 3], [N]
        """Return (x, y, score) of everybody's joints, in image pixels, and everybody's score.

        A box that is not finite, or without width or height, has joints of NaN and the score 0.

        Args:
            image: uint8, RGB.
            boxes: float32, x, y, width, height in image pixels.
        """
        sound = (boxes.abs() <= FARTHEST).all(-1) & (boxes[:, 2:] > 0).all(-1)
        coords, heights = self.people(*self.cut(image, torch.where(sound[:, None], boxes, 1.0)))
        keypoints = torch.cat([coords, heights.unsqueeze(-1)], -1)
        keypoints = torch.where(sound[:, None, None], keypoints, torch.nan)
        return keypoints, person_scores(keypoints[..., 2], score_threshold(self.model.codec))

    def joints(self, keypoints: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return of what `forward` returned what `CropsToKeypoints` does: coordinates [N, K, 2] and
        scores [N, K], which are NaN for people whose own score does not follow from them."""
        heights = keypoints[..., 2]
        wanted = person_scores(heights, score_threshold(self.model.codec))
        follows = torch.isclose(scores, wanted, rtol=1e-4, atol=1e-6)
        return keypoints[..., :2], torch.where(follows[:, None], heights, torch.nan)

    def metadata(self) -> dict[str, str]:
        """Return what `CropsToKeypoints.metadata` does."""
        return {**self.people.metadata(), "from": json.dumps(self.inputs[0])}

    def example(self, people: int = 2) -> tuple[Tensor, Tensor]:
        """Return a gray image and boxes, to trace with."""
        boxes = torch.tensor([10.0, 20.0, 30.0, 60.0])
        return torch.full((90, 60, 3), 128, dtype=torch.uint8), boxes.repeat(people, 1)

    def dynamic_shapes(self) -> tuple[dict[int, Any], dict[int, Any]]:
        """Return which dimensions of the inputs may be of any size."""
        height, width, people = (
            torch.export.Dim(name, min=1) for name in ("height", "width", "people")
        )
        return {0: height, 1: width}, {0: people}


Program = CropsToKeypoints | ImageToKeypoints


def person_scores(scores: Tensor, threshold: float) -> Tensor:  # [N, K] -> [N]
    """Mirrors `darkpose.evaluate.scores.person_scores`."""
    counted = scores > threshold
    return torch.where(counted, scores, 0.0).sum(-1) / counted.sum(-1).clamp(min=1)


def in_half(program: Program) -> Program:
    """Return a copy whose network is in float16; all before it and after it stays in float32."""
    copied = deepcopy(program)
    copied.model.network.half()
    return copied


def _in_half(network: nn.Module) -> bool:
    return any(each.dtype == torch.float16 for each in network.parameters())


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

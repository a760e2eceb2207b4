# SPDX-License-Identifier: Apache-2.0
"""From an image and boxes to keypoints, with everything in between as the checkpoint was trained.

Crop, color order, flip test, decoding and the way back to the image all depend on one another and
on the network. `Predictor` takes them from the checkpoint, so that no caller can get them wrong;
its output is that of the evaluation, bit for bit for the same batches and boxes. What boxes are
decides about crops, here as there: those of an annotation file are clipped (`geometry.clip_box`),
a detector's and all others never.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from darkpose.data.orientation import Orientation, Pixels
from darkpose.data.spec import KeypointSpec
from darkpose.data.tally import Once
from darkpose.decoders import ambiguity, find_decoder
from darkpose.evaluate.scores import person_scores, score_threshold
from darkpose.models.pose import PoseModel
from darkpose.predict.ahead import Room, read_ahead
from darkpose.predict.detectors import Detector, detect
from darkpose.predict.gpu_decoding import DecodeOn, decoder_of
from darkpose.predict.people import Pending, checked_boxes, checked_scores, clipped
from darkpose.predict.pixels import as_decoded
from darkpose.predict.poses import Outcome, Poses, Request

__all__ = ["Detector", "Orientation", "Outcome", "Pixels", "Poses", "Predictor", "Request"]

MAX_THREADS = 16
"""That read images ahead of the network."""


class Predictor:
    """Finds the keypoints of people whose boxes are known.

    Args:
        model: the network and all that belongs to it; `from_checkpoint` reads it from a file. Its
            `spec` and `codec`, joints and what the heatmaps mean, are the predictor's too.
        flip_test: average over the mirrored crops too, which takes twice the time.
        device: to run on; a GPU if there is one.
        decoder: how to read the heatmaps, see `HeatmapCodec.decoders`; the best if None.
        batch_size: people that the network sees at once.
        orientation: of image files: "exif", as people see them, or "stored", as COCO and most data
            sets count pixels, where a request does not say. Boxes given and keypoints returned are
            in that image's pixels.
        detector: finds people where no boxes are given; None: the whole image is one person.
        clip_boxes: clip annotated boxes as the convention's training does: `data.clip_boxes`.
        decode_on: "device" decodes JPEGs on a GPU (`darkpose.predict.gpu_decoding`), untried.

    Raises:
        ImportError: decode_on needs a package that is not there.
        ValueError: an option is unknown, or not one of this network's.
    """

    def __init__(
        self,
        model: PoseModel,
        *,
        flip_test: bool = True,
        device: str | torch.device | None = None,
        decoder: str | None = None,
        batch_size: int = 32,
        orientation: Orientation = "exif",
        detector: Detector | None = None,
        clip_boxes: bool = True,
        decode_on: DecodeOn = "cpu",
    ) -> None:
        if decoder is not None:
            find_decoder(model.codec, decoder)
        if orientation not in get_args(Orientation):
            names = ", ".join(get_args(Orientation))
            raise ValueError(f"orientation must be one of {names}, got {orientation}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.device = _device(device)
        self.model = model.eval().to(self.device)
        self.spec, self.codec = model.spec, model.codec
        self.decoder, self.flip_test = decoder or model.codec.decoders[-1], flip_test
        self.batch_size, self.orientation, self.detector = batch_size, orientation, detector
        self.clip_boxes, self._uncertain = clip_boxes, Once()
        self.decoding = decoder_of(decode_on, self.device)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, network: str | None = None, **options: Any
    ) -> "Predictor":
        """Return the predictor of a checkpoint that training or `darkpose convert` wrote.

        Args:
            path: of the checkpoint, of which nothing is ever executed; or `huggingface:MODEL`.
            network: `module:function` that makes its network, if that is your own code.
            options: of the class.

        Raises:
            OSError, ValueError: there is no such file, or not one that darkpose wrote to its end.
        """
        return cls(PoseModel.load(path, network=network), **options)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        joints: KeypointSpec | str | Path | None = None,
        expert: str | None = None,
        **options: Any,
    ) -> "Predictor":
        """Return the predictor of a ViTPose, ViTPose+ or Sapiens2 of Hugging Face's transformers.

        Args:
            name: of the hub, such as `usyd-community/vitpose-base-simple`, or a folder.
            joints, expert: see `PoseModel.from_pretrained`.
            options: of the class.

        Raises:
            ImportError, OSError, ValueError: as `PoseModel.from_pretrained`.
        """
        return cls(PoseModel.from_pretrained(name, joints=joints, expert=expert), **options)

    def __call__(
        self, image: Any, boxes: ArrayLike | None = None, box_scores: ArrayLike | None = None
    ) -> Poses:
        """Return the people of one image, in the order of the boxes.

        Args:
            image: the path of a file; or pixels [H, W] or [H, W, C], grey, RGB or RGBA, uint8 or
                uint16; or a tensor of these, on any device, or a Pillow image. Pixels are taken as
                they are, nothing turns them.
            boxes: [N, 4], x, y, width, height in image pixels; N may be 0. They may reach beyond
                the image and are not clipped: only `Request.annotated` ones are. None: whom the
                detector finds, or the whole image.
            box_scores: [N]; 1 if None.

        Raises:
            ValueError: the file is missing, cut short or not an image; pixels are neither uint8 nor
                uint16; boxes are not [N, 4] finite numbers of sizes that are not negative.
        """
        (outcome,) = self.stream([Request(0, image, boxes, box_scores)], threads=0)
        if outcome.poses is None:
            raise ValueError(outcome.error)
        return outcome.poses

    def stream(
        self, requests: Iterable[Request], *, threads: int | None = None
    ) -> Iterator[Outcome]:
        """Yield what comes of each of many images, in their order.

        The network sees people of several images at once. Images are read and cut ahead of it, and
        are not held: memory does not grow with their number, nor crops with the number of people.
        A bad image spoils no other.

        Args:
            requests: images and boxes; read as needed, so that they may be made on the way.
            threads: that read images; as many as processors if None, 0: none beside this one.
        """
        count = min(MAX_THREADS, os.cpu_count() or 1) if threads is None else threads
        waiting: deque[Pending] = deque()  # in order, not all of them decoded
        batch: list[tuple[Pending, int, Tensor]] = []
        room = Room(count)
        for pending in read_ahead(lambda each: self._read(each, room), requests, count):
            waiting.append(pending)
            for position, crop in pending.crops():
                batch.append((pending, position, crop))
                if len(batch) == self.batch_size:
                    self._decode(batch)
                    batch = []
            # Many images without people must not pile up behind a batch that is not full.
            if batch and len(waiting) > 2 * self.batch_size:
                self._decode(batch)
                batch = []
            while waiting and waiting[0].complete:
                yield self._outcome(waiting.popleft())
        if batch:
            self._decode(batch)
        yield from map(self._outcome, waiting)

    def _read(self, request: Request, room: Room) -> Pending:
        """Read an image and cut its first people out of it; what is wrong is kept for later."""
        with ExitStack() as stack:
            return self._cut(request, room, lambda data: stack.enter_context(room.take(data)))

    def _cut(self, request: Request, room: Room, before: Callable[[bytes], None]) -> Pending:
        joints = self.spec.num_joints
        try:
            pixels = request.pixels or Pixels(self.orientation, sure=True)
            jpeg = None if self.decoding is None else self.decoding.jpeg
            image = as_decoded(request.image, pixels, before, jpeg)
            self._uncertain.say(image.note)
            boxes, scores = request.boxes, request.box_scores
            if boxes is None and self.detector is not None:
                boxes, scores = detect(self.detector, image)
            checked = checked_boxes(boxes, image.size)
            if request.annotated:
                checked = self.clipped(checked, image.size)
            scores = checked_scores(scores, len(checked), given=boxes is not None)
        except (ValueError, TypeError, OSError) as error:
            return Pending.bad(request, self.codec, joints, str(error))
        small = image.pixels.nbytes <= room.small
        ahead = self.batch_size if small else len(checked)  # a large one must not be kept
        return Pending(request, self.codec, joints, image, checked, scores, ahead, self.device)

    def clipped(
        self,
        boxes: NDArray[np.float64],  # [N, 4] image pixels
        image_size: tuple[int, int],
    ) -> NDArray[np.float64]:  # [N, 4]
        """Return annotated boxes as people are cut out by them, see `clip_boxes`."""
        return clipped(boxes, image_size, self.codec.convention) if self.clip_boxes else boxes

    def _decode(self, batch: list[tuple[Pending, int, Tensor]]) -> None:
        crops = torch.stack([crop for _, _, crop in batch])
        to_image = np.stack([pending.to_image[position] for pending, position, _ in batch])
        with torch.inference_mode():
            heatmaps, flipped = self.heatmaps(crops)
            points, scores = self.codec.decode(
                heatmaps,
                torch.from_numpy(to_image).to(self.device),
                decoder=self.decoder,
                flipped=flipped,
            )
            doubt = ambiguity(self.codec, heatmaps, flipped)
            numbers = points, scores.unsqueeze(-1), doubt.unsqueeze(-1)
            rows = torch.cat([each.float() for each in numbers], -1).cpu().numpy()
        for (pending, position, _), row in zip(batch, rows, strict=True):
            pending.put(position, row)

    def heatmaps(
        self,
        crops: Tensor,  # [B, H, W, 3] uint8 RGB
    ) -> tuple[Tensor, Tensor | None]:  # [B, K, h, w]
        """Return heatmaps of crops on any device, and of the mirrored ones if `flip_test` is on."""
        with torch.inference_mode():
            return self.model.heatmaps(crops.to(self.device, non_blocking=True), self.flip_test)

    def _outcome(self, pending: Pending) -> Outcome:
        if pending.error is not None:
            return Outcome(pending.request, None, pending.error)
        found = np.ascontiguousarray(pending.found[..., :3])
        joint_scores = np.nan_to_num(found[..., 2])
        ranks = person_scores(joint_scores, pending.scores, score_threshold(self.codec))
        largest = float(np.finfo(np.float32).max)  # JSON has no infinity
        scores = ranks.clip(-largest, largest).astype(np.float32)
        boxes = pending.boxes.astype(np.float32)
        names, skeleton = self.spec.names, self.spec.skeleton
        size, doubt = pending.image_size, np.ascontiguousarray(pending.found[..., 3])
        poses = Poses(found, scores, boxes, names, skeleton, size, doubt)
        return Outcome(pending.request, poses, None)


def _device(name: str | torch.device | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # the latter: a torch without CUDA
        raise ValueError(
            f"device must be one of torch's that is here, such as cpu or cuda, got {name}"
        ) from error

# SPDX-License-Identifier: Apache-2.0
"""Writes other projects' pose networks as checkpoints of ours.

Weights do not say in which pixels their heatmaps are. What must be known beside them is a fact of
the code that trained them, listed in `CODE_BASES`; what differs within a code base, and
shows neither in the keys nor in the file's name, is asked for rather than guessed. So are the
joints: networks for COCO's 17 and for a horse's have the same shapes.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkpose.codec import HeatmapCodec
from darkpose.encodings import EncodingName
from darkpose.geometry import Convention
from darkpose.models.checkpoints import METADATA
from darkpose.models.matching import complete
from darkpose.models.model_files import is_model
from darkpose.models.pose import Color, PoseModel
from darkpose.models.weights.formats import (
    CODE_BASES,
    Source,
    Weights,
    read_weights,
    recognize,
)
from darkpose.models.weights.joints import joints_of

_SIZES = re.compile(r"(?<!\d)(?:128x96|256x192|256x256|384x288|384x384)(?!\d)")
# height x width


def convert(
    checkpoint: Path,
    out: Path,
    source: Source | None = None,
    input_size: tuple[int, int] | None = None,
    convention: Convention | None = None,
    encoding: EncodingName | None = None,
    sigma: float | None = None,
    color: Color | None = None,
    joints: str | Path | None = None,
    expert: str | None = None,
) -> None:
    """Write another project's pose network as a checkpoint of darkpose.

    Args:
        checkpoint: a file of HRNet, SimpleBaseline, DarkPose, or mmpose 0.x or 1.x, of which
            nothing is ever executed; or `huggingface:MODEL`, which says the next six itself.
        out: the checkpoint to write; there must be no such file yet.
        source: whose code trained it. Needed where key names do not tell: HRNet, SimpleBaseline and
            DarkPose have the same ones.
        input_size: (width, height) of the network's input in pixels. Needed unless the file's name
            says 256x192 or another customary size (height x width).
        convention: how image, input and heatmap correspond. Default: the source's; mmpose's UDP
            networks need "udp".
        encoding: of the targets it was trained with. Default: the source's.
        sigma: of its targets in heatmap pixels. Default: as the source's configuration for this
            network and size has it.
        color: order of its channels. Default: the source's for this network.
        joints: a joint set's name, such as coco, or a YAML file that names its joints. Needed
            unless the file itself names them, as mmpose 1.x's do.
        expert: of a ViTPose+, see `PoseModel.from_pretrained`.

    Raises:
        ImportError: the model is one of transformers, which is not installed.
        OSError: there is no such file, or `out` exists.
        ValueError: it is no pose network of ours, something needed is not given, or what is given
            contradicts the file. Nothing is then written.
    """
    if out.exists():
        raise FileExistsError(f"{out} must not exist yet: name another file to write")
    chosen: dict[str, Any] = {
        "source": source,
        "input_size": input_size,
        "convention": convention,
        "encoding": encoding,
        "sigma": sigma,
        "color": color,
    }
    if not is_model(checkpoint):
        if expert is not None:
            raise ValueError(f"expert is for a ViTPose+, huggingface:MODEL, got {checkpoint}")
        _convert_file(checkpoint, out, joints, **chosen)
        return
    if given := [name for name, value in chosen.items() if value is not None]:
        raise ValueError(f"{checkpoint} says its {', '.join(given)} itself: leave out {given[0]}")
    model = PoseModel.from_pretrained(str(checkpoint), joints=joints, expert=expert)
    model.save(out, converted_from={"file": checkpoint.name, "source": "transformers"})
    _report(out, model, "transformers")


def _convert_file(
    checkpoint: Path,
    out: Path,
    joints: str | Path | None,
    *,
    source: Source | None,
    input_size: tuple[int, int] | None,
    convention: Convention | None,
    encoding: EncodingName | None,
    sigma: float | None,
    color: Color | None,
) -> None:
    weights = read_weights(checkpoint)
    if METADATA in weights.others:
        raise ValueError(
            f"{checkpoint} must be another project's file, got one that darkpose wrote"
        )
    network = recognize(weights)
    source = _source(weights, network, source)
    base, size = CODE_BASES[source], _input_size(checkpoint, input_size)
    codec = HeatmapCodec(
        size,
        sigma=base.sigmas.get((network, size)) if sigma is None else sigma,
        convention=_checked(convention or base.convention, weights),
        encoding=encoding or base.encoding,
    )
    color = color or base.colors[str(weights.family)]
    model = PoseModel(codec, joints_of(weights, joints), network, color=color)
    model.network.load_state_dict(complete(weights.tensors, model.network.state_dict()))
    model.save(out, converted_from={"file": checkpoint.name, "source": source})
    _report(out, model, source)


def _report(out: Path, model: PoseModel, source: str) -> None:
    """Say what was written."""
    codec, spec = model.codec, model.spec
    logging.getLogger(__name__).info(
        "%s: %s of %s, %d joints beginning with %s, input %d wide and %d high, %s, sigma %g, %s",
        *(out, model.network_name, source, spec.num_joints, spec.names[0], *codec.input_size),
        *(codec.convention.value, codec.sigma, model.color),
    )


def _source(weights: Weights, network: str, given: Source | None) -> Source:
    possible = weights.sources
    if given is None and len(possible) == 1:
        return possible[0]
    if given not in possible:
        raise ValueError(
            f"source must be {' or '.join(possible)} for {weights.path}, "
            f"{network} by its key names, got {given or 'none'}"
        )
    return given


def _input_size(checkpoint: Path, given: tuple[int, int] | None) -> tuple[int, int]:
    named = set(_SIZES.findall(checkpoint.name))
    size = tuple(map(int, reversed(named.pop().split("x")))) if len(named) == 1 else given
    if size is None:
        raise ValueError(
            f"input_size (width, height) must be given for {checkpoint}, whose name does not say it"
        )
    if given is not None and given != size:
        raise ValueError(
            f"input_size must be {size[0]} wide and {size[1]} high as {checkpoint} says in its "
            f"name, got {given[0]} wide and {given[1]} high"
        )
    return size[0], size[1]


def _checked(convention: Convention, weights: Weights) -> Convention:
    """Return the convention, unless the configuration that mmpose writes into its files is one of
    UDP and this is not."""
    meta = weights.others.get("meta")
    texts = [meta.get(key) for key in ("config", "cfg")] if isinstance(meta, Mapping) else []
    says_udp = any(
        isinstance(text, str) and re.search(r"use_udp\s*=\s*True|UDPHeatmap", text)
        for text in texts
    )
    if says_udp and convention is not Convention.udp:
        raise ValueError(
            f"convention must be udp for {weights.path}, whose configuration says so, "
            f"got {convention.value}"
        )
    return convention

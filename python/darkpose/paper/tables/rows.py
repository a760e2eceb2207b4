# SPDX-License-Identifier: Apache-2.0
"""The rows of each table: what is trained, how it is decoded, what the paper found there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from darkpose.paper.tables.paper import (
    DECODING,
    ENCODING,
    NETWORKS,
    REGRESSION,
    SIZES,
    Representation,
)


@dataclass(frozen=True)
class Training:
    """One network to train; rows that decode it differently share it."""

    network: str
    height: int
    """Of the input in pixels; the width is three quarters of it, on MPII the same."""
    representation: Representation

    @property
    def name(self) -> str:
        """Of its folder, and of its recipe among the package's configurations."""
        return f"{self.network}_{self.height}_{self.representation}"


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    training: Training
    decoder: str
    paper: tuple[float, ...] = ()
    """The paper's figures on COCO; none where it has no such row."""


def rows(
    number: int,
    networks: Sequence[str],
    heights: Sequence[int],
) -> list[Row]:
    """Return the rows of one of Tables 1 to 6 and 8 for networks and input heights of choice.

    Tables 1 to 3 and 6 are of the first network at the first height, Table 4 is of the first
    network, Table 5 of the first height. The paper's rows come first, each as it was really made,
    then those that change one factor at a time. Figures of the paper stand beside its own networks
    only.

    Raises:
        ValueError: there is no such table, or it is 7, which has nothing to train.
    """
    network, height = networks[0], heights[0]
    in_paper = network == "hrnet_w32" and height == 128

    def row(representation: Representation, decoder: str, paper: tuple[float, ...] = ()) -> Row:
        return Row(Training(network, height, representation), decoder, paper if in_paper else ())

    decoders: tuple[str, ...]
    if number == 1:
        decoders = ("argmax", "standard", "dark")
        paper = [row("baseline", name, DECODING[name]) for name in decoders]
        return [*paper, *(row("biased", name) for name in decoders)]
    if number == 2:
        decoders = ("dark_unmodulated", "dark")
        paper = [row("baseline", name, DECODING[name]) for name in decoders]
        others: tuple[Representation, ...] = ("biased", "dark")
        return [*paper, *(row(one, name) for one in others for name in decoders)]
    if number == 3:
        decoders = ("standard", "dark")
        paper = [
            row(representation, name, figures[name])
            for name in decoders
            for representation, figures in ENCODING.items()
        ]
        return [*paper, *(row("biased", name) for name in decoders)]
    if number == 4:
        by_size = SIZES if network == "hrnet_w32" else {}
        return _pairs({(network, one): by_size.get(one) for one in heights})
    if number == 5:
        by_network = NETWORKS if height == 128 else {}
        return _pairs({(one, height): by_network.get(one) for one in networks})
    if number == 6:
        return [
            row(representation, "dark" if representation == "dark" else "expectation", figures)
            for representation, figures in REGRESSION.items()
        ]
    if number == 8:
        return [row("baseline", "standard"), row("dark", "dark")]
    raise ValueError(f"table must be 1 to 8, and 7 has no rows to train, got {number}")


def _pairs(
    paper: Mapping[tuple[str, int], tuple[tuple[float, ...], tuple[float, ...]] | None],
) -> list[Row]:
    """Return for each network and height its baseline and DARK."""
    found = []
    for (network, height), figures in paper.items():
        baseline, dark = figures or ((), ())
        found.append(Row(Training(network, height, "baseline"), "standard", baseline))
        found.append(Row(Training(network, height, "dark"), "dark", dark))
    return found

# SPDX-License-Identifier: Apache-2.0
"""The rows of each table: what is trained, how it is decoded, what the paper found there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from darkpose.paper.tables.figures import COCO, MPII

Representation = Literal["baseline", "dark", "biased", "dsnt", "ipr"]
REPRESENTATIONS: dict[Representation, tuple[str, str, str]] = {
    # What the paper's rows really compared: each with its authors' pixels, targets and flip test.
    "baseline": ("hrnet", "biased", "biased, hrnet pixels"),
    "dark": ("darkpose", "unbiased", "unbiased, darkpose pixels"),
    # One factor changed from `dark`, everything else alike.
    "biased": ("darkpose", "biased", "biased, darkpose pixels"),
    "dsnt": ("darkpose", "dsnt", "DSNT"),
    "ipr": ("darkpose", "ipr", "IPR"),
}
"""How joints become what a network is trained toward: convention, encoding, and both in words."""

_Cell = tuple[Representation, str]
_PAIR: list[_Cell] = [("baseline", "standard"), ("dark", "dark")]
# The paper's cells, each as it was really made; then those that change one factor at a time.
_CELLS: dict[int, list[_Cell]] = {
    1: [
        *(("baseline", "argmax"), ("baseline", "standard"), ("baseline", "dark")),
        *(("biased", "argmax"), ("biased", "standard"), ("biased", "dark")),
    ],
    2: [
        *(("baseline", "dark_unmodulated"), ("baseline", "dark")),
        *(("biased", "dark_unmodulated"), ("biased", "dark")),
        *(("dark", "dark_unmodulated"), ("dark", "dark")),
    ],
    3: [
        *(("baseline", "standard"), ("dark", "standard"), ("baseline", "dark"), ("dark", "dark")),
        *(("biased", "standard"), ("biased", "dark")),
    ],
    4: _PAIR,
    5: _PAIR,
    6: [("dsnt", "expectation"), ("ipr", "expectation"), ("dark", "dark")],
    8: _PAIR,
}


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    network: str
    height: int
    """Of the input in pixels; the width is three quarters of it, on MPII the same."""
    representation: Representation
    decoder: str
    printed: Mapping[str, Sequence[float]] = field(default_factory=dict, compare=False)
    """The paper's figures by the title of their columns; none where it has no such row."""

    @property
    def training(self) -> str:
        """The network's folder, its recipe's name too; rows that decode it differently share it."""
        return f"{self.network}_{self.height}_{self.representation}"

    @property
    def words(self) -> str:
        """How the network represents joints, as a table says it."""
        return REPRESENTATIONS[self.representation][2]

    @property
    def label(self) -> str:
        """All that tells the row from others of its table."""
        said = f"{self.network} {self.height}, {self.words}"
        return said if self.decoder == "expectation" else f"{said}, {self.decoder}"


def rows(number: int, dataset: str, networks: Sequence[str], heights: Sequence[int]) -> list[Row]:
    """Return the rows of one of Tables 1 to 6 and 8 for networks and input heights of choice.

    Tables 1 to 3 and 6 are of the first network at the first height, Table 4 is of the first
    network, Table 5 of the first height. Figures of the paper stand beside its own networks on its
    own data sets only.

    Raises:
        ValueError: there is no such table, or it is 7, which has nothing to train.
    """
    if number not in _CELLS:
        raise ValueError(f"table must be 1 to 8, and 7 has no rows to train, got {number}")
    return [
        Row(*what, _printed(number, dataset, *what))
        for network in dict.fromkeys(networks if number == 5 else networks[:1])
        for height in dict.fromkeys(heights if number == 4 else heights[:1])
        for what in ((network, height, *cell) for cell in _CELLS[number])
    ]


def _printed(
    number: int, dataset: str, network: str, height: int, representation: str, decoder: str
) -> Mapping[str, Sequence[float]]:
    if dataset == "mpii" and (network, height) == ("hrnet_w32", 256):
        return MPII.get((representation, decoder), {})
    if number == 4:
        own = network == "hrnet_w32"
    elif number == 5:
        own = height == 128
    else:
        own = (network, height) == ("hrnet_w32", 128)
        own = own and (number != 2 or representation == "baseline")
    key = network, height, representation, decoder
    return {"OKS": COCO[key]} if dataset == "coco" and own and key in COCO else {}

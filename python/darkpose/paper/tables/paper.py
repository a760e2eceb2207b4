# SPDX-License-Identifier: Apache-2.0
"""What the paper prints.

AP, AP50, AP75, AP_M, AP_L and AR on COCO val2017 in Tables 1 to 6, on test-dev in Table 7; PCKh on
MPII in Table 8.
"""

from dataclasses import dataclass
from typing import Literal

COCO_COLUMNS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")

Representation = Literal["baseline", "dark", "biased", "dsnt", "ipr"]
REPRESENTATIONS: dict[Representation, dict[str, str]] = {
    # What the paper's rows really compared: each with its authors' pixels, targets and flip test.
    "baseline": {"codec.convention": "hrnet", "codec.encoding": "biased"},
    "dark": {"codec.convention": "darkpose", "codec.encoding": "unbiased"},
    # One factor changed from `dark`, everything else alike.
    "biased": {"codec.convention": "darkpose", "codec.encoding": "biased"},
    "dsnt": {"codec.convention": "darkpose", "codec.encoding": "dsnt"},
    "ipr": {"codec.convention": "darkpose", "codec.encoding": "ipr"},
}
"""How joints become what a network is trained toward."""

WORDS: dict[Representation, str] = {
    "baseline": "biased, hrnet pixels",
    "dark": "unbiased, darkpose pixels",
    "biased": "biased, darkpose pixels",
    "dsnt": "DSNT",
    "ipr": "IPR",
}


DECODING: dict[str, tuple[float, ...]] = {
    "argmax": (61.2, 88.1, 72.3, 59.0, 66.3, 68.7),
    "standard": (66.9, 88.7, 76.3, 64.6, 72.3, 73.7),
    "dark_unmodulated": (68.1, 88.5, 77.1, 65.8, 73.7, 74.8),
    "dark": (68.4, 88.6, 77.4, 66.0, 74.0, 74.9),
}
UNBIASED: dict[str, tuple[float, ...]] = {
    "standard": (68.0, 88.9, 77.0, 65.4, 73.7, 74.5),
    "dark": (70.7, 88.9, 78.4, 67.9, 76.6, 76.7),
}
ENCODING: dict[Representation, dict[str, tuple[float, ...]]] = {
    "baseline": DECODING,
    "dark": UNBIASED,
}
SIZES: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {  # of HRNet-W32: baseline, DARK
    128: (DECODING["standard"], UNBIASED["dark"]),
    256: ((74.4, 90.5, 81.9, 70.8, 81.0, 79.8), (75.6, 90.5, 82.1, 71.8, 82.8, 80.8)),
    384: ((75.8, 90.6, 82.5, 72.0, 82.7, 80.9), (76.6, 90.7, 82.8, 72.7, 83.9, 81.5)),
}
NETWORKS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {  # at 128x96, likewise
    "hourglass_4": ((66.2, 87.6, 75.1, 63.8, 71.4, 72.8), (69.6, 87.8, 77.0, 67.0, 75.4, 75.7)),
    "hourglass_8": ((67.6, 88.3, 77.4, 65.2, 73.0, 74.0), (70.8, 87.9, 78.3, 68.3, 76.4, 76.6)),
    "simple_r50": ((59.3, 85.5, 67.4, 57.8, 63.8, 66.6), (62.6, 86.1, 70.4, 60.4, 67.9, 69.5)),
    "simple_r101": ((58.8, 85.3, 66.1, 57.3, 63.4, 66.1), (63.2, 86.2, 71.1, 61.2, 68.5, 70.0)),
    "simple_r152": ((60.7, 86.0, 69.6, 59.0, 65.4, 68.0), (63.1, 86.2, 71.6, 61.3, 68.1, 70.0)),
    "hrnet_w32": SIZES[128],
    "hrnet_w48": ((68.0, 88.9, 77.4, 65.7, 73.7, 74.7), (71.9, 89.1, 79.6, 69.2, 78.0, 77.9)),
}
REGRESSION: dict[Representation, tuple[float, ...]] = {
    "dsnt": (57.6, 83.5, 63.1, 56.9, 60.1, 71.2),
    "ipr": (68.0, 88.1, 76.5, 65.9, 73.8, 74.4),
    "dark": UNBIASED["dark"],
}
MPII: dict[Representation, dict[str, tuple[float, ...]]] = {
    # The paper's "0.1" is what the field's code prints under that name: 0.11. It gives the mean
    # alone for its baseline at 0.5.
    "baseline": {
        "PCKh@0.5": (*([float("nan")] * 7), 90.3),
        "PCKh@0.11": (51.1, 42.7, 42.0, 41.6, 17.9, 29.9, 31.0, 37.7),
    },
    "dark": {
        "PCKh@0.5": (97.2, 95.9, 91.2, 86.7, 89.7, 86.7, 84.0, 90.6),
        "PCKh@0.11": (55.2, 47.8, 47.4, 45.2, 20.1, 33.4, 35.4, 42.0),
    },
}


@dataclass(frozen=True)
class Cited:
    """A row of Table 7, on COCO test-dev: only its server can add to them."""

    method: str
    backbone: str
    input_size: str
    figures: tuple[float, ...]
    params: str = ""
    gflops: str = ""
    extra_data: bool = False


TEST_DEV = (
    Cited("G-RMI", "ResNet-101", "353x257", (64.9, 85.5, 71.3, 62.3, 70.0, 69.7), "42.6M", "57.0"),
    Cited(
        "IPR",
        "ResNet-101",
        "256x256",
        (67.8, 88.2, 74.8, 63.9, 74.0, float("nan")),
        "45.1M",
        "11.0",
    ),
    Cited("CPN", "ResNet-Inception", "384x288", (72.1, 91.4, 80.0, 68.7, 77.2, 78.5)),
    Cited(
        "RMPE", "PyraNet", "320x256", (72.3, 89.2, 79.1, 68.0, 78.6, float("nan")), "28.1M", "26.7"
    ),
    Cited("CFN", "", "", (72.6, 86.1, 69.7, 78.3, 64.1, float("nan"))),
    Cited("CPN, ensemble", "ResNet-Inception", "384x288", (73.0, 91.7, 80.9, 69.5, 78.1, 79.0)),
    Cited(
        "SimpleBaseline",
        "ResNet-152",
        "384x288",
        (73.7, 91.9, 81.1, 70.3, 80.0, 79.0),
        "68.6M",
        "35.6",
    ),
    Cited("HRNet", "HRNet-W32", "384x288", (74.9, 92.5, 82.8, 71.3, 80.9, 80.1), "28.5M", "16.0"),
    Cited("HRNet", "HRNet-W48", "384x288", (75.5, 92.5, 83.3, 71.9, 81.5, 80.5), "63.6M", "32.9"),
    Cited("DARK", "HRNet-W32", "128x96", (70.0, 90.9, 78.5, 67.4, 75.0, 75.9), "28.5M", "1.8"),
    Cited("DARK", "HRNet-W48", "384x288", (76.2, 92.5, 83.6, 72.5, 82.4, 81.1), "63.6M", "32.9"),
    Cited(
        "G-RMI",
        "ResNet-101",
        "353x257",
        (68.5, 87.1, 75.5, 65.8, 73.3, 73.3),
        "42.6M",
        "57.0",
        extra_data=True,
    ),
    Cited(
        "HRNet",
        "HRNet-W48",
        "384x288",
        (77.0, 92.7, 84.5, 73.4, 83.1, 82.0),
        "63.6M",
        "32.9",
        extra_data=True,
    ),
    Cited(
        "DARK",
        "HRNet-W48",
        "384x288",
        (77.4, 92.6, 84.6, 73.6, 83.7, 82.3),
        "63.6M",
        "32.9",
        extra_data=True,
    ),
)

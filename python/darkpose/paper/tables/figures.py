# SPDX-License-Identifier: Apache-2.0
"""What the paper prints: of COCO val2017 in Tables 1 to 6, of test-dev in 7, of MPII in 8."""

PAPER_DECODERS = ("argmax", "standard", "dark_unmodulated", "dark")
"""In the order of Tables 1 and 2, each an improvement of the one before."""
COCO_COLUMNS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")

# By network, height of the input, representation and decoder.
COCO: dict[tuple[str, int, str, str], tuple[float, ...]] = {
    ("hrnet_w32", 128, "baseline", "argmax"): (61.2, 88.1, 72.3, 59.0, 66.3, 68.7),
    ("hrnet_w32", 128, "baseline", "standard"): (66.9, 88.7, 76.3, 64.6, 72.3, 73.7),
    ("hrnet_w32", 128, "baseline", "dark_unmodulated"): (68.1, 88.5, 77.1, 65.8, 73.7, 74.8),
    ("hrnet_w32", 128, "baseline", "dark"): (68.4, 88.6, 77.4, 66.0, 74.0, 74.9),
    ("hrnet_w32", 128, "dark", "standard"): (68.0, 88.9, 77.0, 65.4, 73.7, 74.5),
    ("hrnet_w32", 128, "dark", "dark"): (70.7, 88.9, 78.4, 67.9, 76.6, 76.7),
    ("hrnet_w32", 256, "baseline", "standard"): (74.4, 90.5, 81.9, 70.8, 81.0, 79.8),
    ("hrnet_w32", 256, "dark", "dark"): (75.6, 90.5, 82.1, 71.8, 82.8, 80.8),
    ("hrnet_w32", 384, "baseline", "standard"): (75.8, 90.6, 82.5, 72.0, 82.7, 80.9),
    ("hrnet_w32", 384, "dark", "dark"): (76.6, 90.7, 82.8, 72.7, 83.9, 81.5),
    ("hourglass_4", 128, "baseline", "standard"): (66.2, 87.6, 75.1, 63.8, 71.4, 72.8),
    ("hourglass_4", 128, "dark", "dark"): (69.6, 87.8, 77.0, 67.0, 75.4, 75.7),
    ("hourglass_8", 128, "baseline", "standard"): (67.6, 88.3, 77.4, 65.2, 73.0, 74.0),
    ("hourglass_8", 128, "dark", "dark"): (70.8, 87.9, 78.3, 68.3, 76.4, 76.6),
    ("simple_r50", 128, "baseline", "standard"): (59.3, 85.5, 67.4, 57.8, 63.8, 66.6),
    ("simple_r50", 128, "dark", "dark"): (62.6, 86.1, 70.4, 60.4, 67.9, 69.5),
    ("simple_r101", 128, "baseline", "standard"): (58.8, 85.3, 66.1, 57.3, 63.4, 66.1),
    ("simple_r101", 128, "dark", "dark"): (63.2, 86.2, 71.1, 61.2, 68.5, 70.0),
    ("simple_r152", 128, "baseline", "standard"): (60.7, 86.0, 69.6, 59.0, 65.4, 68.0),
    ("simple_r152", 128, "dark", "dark"): (63.1, 86.2, 71.6, 61.3, 68.1, 70.0),
    ("hrnet_w48", 128, "baseline", "standard"): (68.0, 88.9, 77.4, 65.7, 73.7, 74.7),
    ("hrnet_w48", 128, "dark", "dark"): (71.9, 89.1, 79.6, 69.2, 78.0, 77.9),
    ("hrnet_w32", 128, "dsnt", "expectation"): (57.6, 83.5, 63.1, 56.9, 60.1, 71.2),
    ("hrnet_w32", 128, "ipr", "expectation"): (68.0, 88.1, 76.5, 65.9, 73.8, 74.4),
}

# Of HRNet-W32 at 256x256, by representation and decoder: seven groups of joints, then their mean,
# which is all that it gives for its baseline at 0.5. The paper's "0.1" is what the field's code
# prints under that name: 0.11.
MPII: dict[tuple[str, str], dict[str, tuple[float, ...]]] = {
    ("baseline", "standard"): {
        "PCKh@0.5": (*([float("nan")] * 7), 90.3),
        "PCKh@0.11": (51.1, 42.7, 42.0, 41.6, 17.9, 29.9, 31.0, 37.7),
    },
    ("dark", "dark"): {
        "PCKh@0.5": (97.2, 95.9, 91.2, 86.7, 89.7, 86.7, 84.0, 90.6),
        "PCKh@0.11": (55.2, 47.8, 47.4, 45.2, 20.1, 33.4, 35.4, 42.0),
    },
}

_EXTRA = ", extra data"
TABLE_7 = f"""\
| method | backbone | input | params | GFLOPs | AP | AP50 | AP75 | AP_M | AP_L | AR |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| G-RMI | ResNet-101 | 353x257 | 42.6M | 57.0 | 64.9 | 85.5 | 71.3 | 62.3 | 70.0 | 69.7 |
| IPR | ResNet-101 | 256x256 | 45.1M | 11.0 | 67.8 | 88.2 | 74.8 | 63.9 | 74.0 | - |
| CPN | ResNet-Inception | 384x288 |  |  | 72.1 | 91.4 | 80.0 | 68.7 | 77.2 | 78.5 |
| RMPE | PyraNet | 320x256 | 28.1M | 26.7 | 72.3 | 89.2 | 79.1 | 68.0 | 78.6 | - |
| CFN |  |  |  |  | 72.6 | 86.1 | 69.7 | 78.3 | 64.1 | - |
| CPN, ensemble | ResNet-Inception | 384x288 |  |  | 73.0 | 91.7 | 80.9 | 69.5 | 78.1 | 79.0 |
| SimpleBaseline | ResNet-152 | 384x288 | 68.6M | 35.6 | 73.7 | 91.9 | 81.1 | 70.3 | 80.0 | 79.0 |
| HRNet | HRNet-W32 | 384x288 | 28.5M | 16.0 | 74.9 | 92.5 | 82.8 | 71.3 | 80.9 | 80.1 |
| HRNet | HRNet-W48 | 384x288 | 63.6M | 32.9 | 75.5 | 92.5 | 83.3 | 71.9 | 81.5 | 80.5 |
| DARK | HRNet-W32 | 128x96 | 28.5M | 1.8 | 70.0 | 90.9 | 78.5 | 67.4 | 75.0 | 75.9 |
| DARK | HRNet-W48 | 384x288 | 63.6M | 32.9 | 76.2 | 92.5 | 83.6 | 72.5 | 82.4 | 81.1 |
| G-RMI{_EXTRA} | ResNet-101 | 353x257 | 42.6M | 57.0 | 68.5 | 87.1 | 75.5 | 65.8 | 73.3 | 73.3 |
| HRNet{_EXTRA} | HRNet-W48 | 384x288 | 63.6M | 32.9 | 77.0 | 92.7 | 84.5 | 73.4 | 83.1 | 82.0 |
| DARK{_EXTRA} | HRNet-W48 | 384x288 | 63.6M | 32.9 | 77.4 | 92.6 | 84.6 | 73.6 | 83.7 | 82.3 |"""
"""Systems on COCO test-dev, whose figures only its server can tell."""

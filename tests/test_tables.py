# SPDX-License-Identifier: Apache-2.0
"""The paper's tables: which rows they have, what trains a row, how it stands beside the paper's."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from darkpose.paper.runs import Reading, Run
from darkpose.paper.tables import forms
from darkpose.paper.tables.command import table
from darkpose.paper.tables.figures import COCO_COLUMNS
from darkpose.paper.tables.rows import Representation, Row, rows
from darkpose.paper.tables.trainings import configured

Printed = tuple[str, int, str, str, float | None]
"""Network, height, representation, decoder and the paper's AP, None where it has no such row."""


def on_coco(number: int, networks: Sequence[str], heights: Sequence[int]) -> list[Printed]:
    found = []
    for row in rows(number, "coco", networks, heights):
        ap = row.printed["OKS"][0] if row.printed else None
        found.append((row.network, row.height, row.representation, row.decoder, ap))
    return found


def of_hrnet(*wanted: tuple[str, str, float | None]) -> list[Printed]:
    return [("hrnet_w32", 128, *one) for one in wanted]


def test_rows_of_tables_1_to_3_and_6_are_the_papers_then_the_clean_ones() -> None:
    network, heights = ["hrnet_w32"], [128, 256, 384]
    assert on_coco(1, network, heights) == of_hrnet(
        ("baseline", "argmax", 61.2),
        ("baseline", "standard", 66.9),
        ("baseline", "dark", 68.4),
        ("biased", "argmax", None),
        ("biased", "standard", None),
        ("biased", "dark", None),
    )
    assert on_coco(2, network, heights) == of_hrnet(
        ("baseline", "dark_unmodulated", 68.1),
        ("baseline", "dark", 68.4),
        ("biased", "dark_unmodulated", None),
        ("biased", "dark", None),
        ("dark", "dark_unmodulated", None),
        ("dark", "dark", None),
    )
    assert on_coco(3, network, heights) == of_hrnet(
        ("baseline", "standard", 66.9),
        ("dark", "standard", 68.0),
        ("baseline", "dark", 68.4),
        ("dark", "dark", 70.7),
        ("biased", "standard", None),
        ("biased", "dark", None),
    )
    assert on_coco(6, network, heights) == of_hrnet(
        ("dsnt", "expectation", 57.6), ("ipr", "expectation", 68.0), ("dark", "dark", 70.7)
    )


def test_rows_of_tables_4_5_and_8_are_baseline_and_dark_in_turn() -> None:
    pair = (("baseline", "standard"), ("dark", "dark"))
    sizes = {128: (66.9, 70.7), 256: (74.4, 75.6), 384: (75.8, 76.6)}
    assert on_coco(4, ["hrnet_w32"], list(sizes)) == [
        ("hrnet_w32", height, *one, ap)
        for height, figures in sizes.items()
        for one, ap in zip(pair, figures, strict=True)
    ]
    networks = {
        "hourglass_4": (66.2, 69.6),
        "hourglass_8": (67.6, 70.8),
        "simple_r50": (59.3, 62.6),
        "simple_r101": (58.8, 63.2),
        "simple_r152": (60.7, 63.1),
        "hrnet_w32": (66.9, 70.7),
        "hrnet_w48": (68.0, 71.9),
    }
    assert on_coco(5, list(networks), [128]) == [
        (network, 128, *one, ap)
        for network, figures in networks.items()
        for one, ap in zip(pair, figures, strict=True)
    ]
    assert on_coco(8, ["hrnet_w32"], [256]) == [("hrnet_w32", 256, *one, None) for one in pair]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_figures_stand_beside_the_papers_own_networks_only(number: int) -> None:
    assert all(row[-1] is None for row in on_coco(number, ["small"], [128]))
    if number != 4:
        assert all(row[-1] is None for row in on_coco(number, ["hrnet_w32"], [256]))
    assert all(row[-1] is None for row in on_coco(number, ["hrnet_w32"], [160]))


# ---- what trains a row ---------------------------------------------------------------------------


@pytest.mark.parametrize("representation", ["baseline", "dark", "dsnt"])
def test_what_hangs_on_network_and_size_is_not_left_from_the_base(
    config: Path, tmp_path: Path, representation: Representation
) -> None:
    """Such as the kernel that belongs to another sigma, or decoders of heatmaps for coordinates."""
    base = yaml.safe_load(config.read_text())
    base["codec"] |= {"sigma": 3, "modulation": 11, "heatmap_size": [16, 16]}
    base["model"]["decoders"] = ["standard"]
    changed = tmp_path / "base.yaml"
    changed.write_text(yaml.safe_dump(base))
    options = {"model.learning_rate": 0.5, "codec.padding": 1.1}
    row = Row("small", 128, representation, "dark")
    recipe, changes = configured(row, str(changed), "small", options)
    task, _, _ = recipe(changes, 0, tmp_path / "run")
    codec = task.model.codec
    assert codec.input_size == (96, 128) and codec.heatmap_size == (24, 32)
    assert codec.sigma == 1 and codec.modulation is None and codec.padding == 1.1
    assert task.decoders == codec.decoders[-1:] and task.options.learning_rate == 0.5
    assert codec.convention.value == ("hrnet" if representation == "baseline" else "darkpose")


# ---- reports of made-up runs ---------------------------------------------------------------------


def made_up(decoder: str, seed: int = 0, **figures: float) -> Run:
    return Run("made up", seed, 1.0, {}, {decoder: figures})


def test_the_papers_row_follows_ours() -> None:
    columns = {"AP": "AP", "AR": "AR"}
    ours = Row("hrnet_w32", 128, "dark", "dark", {"OKS": (70.7, 76.7)})
    clean = Row("hrnet_w32", 128, "biased", "dark")
    runs = [made_up("dark", 0, AP=0.7, AR=0.76), made_up("dark", 1, AP=0.72, AR=float("nan"))]
    found = {ours: Reading(runs, "dark"), clean: Reading(runs[:1], "dark")}
    assert forms.figures_table(found, "OKS", columns).splitlines() == [
        "| network | input | representation | decoding | seeds | AP | AR |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| hrnet_w32 | 128 | unbiased, darkpose pixels | dark | 2 | 71.0 ±1.4 | - |",
        "|  |  |  | *the paper* |  | 70.7 | 76.7 |",
        "| hrnet_w32 | 128 | biased, darkpose pixels | dark | 1 | 70.0 | 76.0 |",
    ]
    assert list(csv.DictReader(forms.csv_text(3, found, {"OKS": columns}).splitlines())) == [
        {
            **{"table": "3", "network": "hrnet_w32", "height": "128", "representation": "dark"},
            **{"decoder": "dark", "seeds": "2", "AP": "71.000", "AP s.d.": "1.414"},
            **{"AP paper": "70.7", "AR": "", "AR s.d.": "", "AR paper": "76.7"},
        },
        {
            **{"table": "3", "network": "hrnet_w32", "height": "128", "representation": "biased"},
            **{"decoder": "dark", "seeds": "1", "AP": "70.000", "AP s.d.": ""},
            **{"AP paper": "", "AR": "76.000", "AR s.d.": "", "AR paper": ""},
        },
    ]


class Found:
    """In place of `run_all`: every run has been made, and scored so."""

    def __init__(self, figures: Mapping[str, float]) -> None:
        self.figures = dict(figures)
        self.asked: list[str] = []

    def __call__(
        self, out: Path, wanted: Mapping[str, Any], seeds: Sequence[int]
    ) -> dict[str, list[Run]]:
        self.asked = [f"{name}-{seed}" for seed in seeds for name in wanted]
        decoders = ("argmax", "standard", "dark_unmodulated", "dark", "expectation")
        figures = dict.fromkeys(decoders, self.figures)
        return {name: [Run(name, seed, 1.0, {}, figures) for seed in seeds] for name in wanted}


def test_table_6_on_coco_has_the_papers_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recipes are evaluated on detected people, whose joints nobody knows: there is no PCK."""
    found = Found(dict.fromkeys(COCO_COLUMNS, 0.5))
    monkeypatch.setattr("darkpose.paper.tables.command.run_all", found)
    table(6, dataset="coco", preset="paper", out=tmp_path)
    assert found.asked == [f"hrnet_w32_128_{one}-0" for one in ("dsnt", "ipr", "dark")]
    text = (tmp_path / "coco" / "table6.md").read_text()
    assert text.startswith("OKS\n\n") and "PCK" not in text
    assert "| hrnet_w32 | 128 | IPR | expectation | 1 | 50.0 |" in text
    assert "*the paper* |  | 68.0 | 88.1 | 76.5 | 65.9 | 73.8 | 74.4 |" in text
    assert (tmp_path / "coco" / "table6.png").stat().st_size > 0


def test_table_8_has_the_papers_figures_beside_its_own_network_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"PCKh@{t}" for t in ("0.5", "0.1", "0.11")]
    columns = ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
    figures = {name: 0.5 for name in names} | {
        f"{name}/{column}": 0.25 for name in names for column in columns
    }
    monkeypatch.setattr("darkpose.paper.tables.command.run_all", Found(figures))
    table(8, dataset="mpii", preset="paper", out=tmp_path)
    text = (tmp_path / "mpii" / "table8.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("PCKh")] == names
    assert "*the paper* |  | - | - | - | - | - | - | - | 90.3 |" in text
    assert "*the paper* |  | 97.2 | 95.9 | 91.2 | 86.7 | 89.7 | 86.7 | 84.0 | 90.6 |" in text
    strict, printed = text.split("PCKh@0.1\n")[1].split("PCKh@0.11\n")
    assert "the paper" not in strict and "55.2 | 47.8 | 47.4" in printed
    for number in (3, 8):
        table(number, dataset="mpii", networks=["small"], seeds=1, out=tmp_path)
        assert "the paper" not in (tmp_path / "mpii" / f"table{number}.md").read_text()


def test_table_7_is_what_the_paper_cites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(7, dataset="coco", out=tmp_path)
    text = (tmp_path / "coco" / "table7.md").read_text()
    assert capsys.readouterr().out == text
    lines = text.splitlines()
    assert len(lines) == 2 + 14
    assert lines[2] == (
        "| G-RMI | ResNet-101 | 353x257 | 42.6M | 57.0 | 64.9 | 85.5 | 71.3 | 62.3 | 70.0 | 69.7 |"
    )
    assert lines[3].endswith("| 67.8 | 88.2 | 74.8 | 63.9 | 74.0 | - |")
    assert "| DARK | HRNet-W48 | 384x288 | 63.6M | 32.9 | 76.2 | 92.5 | 83.6 " in text
    assert lines[-1].startswith("| DARK, extra data | HRNet-W48 | 384x288 |")
    assert lines[-1].endswith("| 77.4 | 92.6 | 84.6 | 73.6 | 83.7 | 82.3 |")


@pytest.mark.parametrize(
    ("number", "arguments", "message"),
    [
        (9, {}, "table must be 1 to 8, and 7 has no rows to train, got 9"),
        (8, {}, "table 8 is of MPII: it needs --dataset mpii, got lspet"),
        (3, {"dataset": "nowhere.yaml"}, "must be coco, mpii, lspet or a YAML file, got nowhere"),
        (3, {"networks": ["smal"]}, "networks must be among small, .*, got smal"),
        (3, {"seeds": 0}, "seeds and heights must be positive, got 0"),
        (3, {"heights": [128, -1]}, "seeds and heights must be positive, got -1"),
        (
            *(5, {"dataset": "coco", "preset": "paper", "networks": ["small"]}),
            "there is no recipe for small: there are hourglass_4_128_baseline, ",
        ),
    ],
)
def test_what_is_no_table_is_said(
    number: int, arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        table(number, **arguments, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()

# SPDX-License-Identifier: Apache-2.0
"""`darkpose table N`: train what is missing, evaluate every cell, print it beside the paper's."""

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.evaluate.metrics.pckh import MPII_GROUPS, PCKH_THRESHOLDS
from darkpose.files import write_text
from darkpose.models import MODELS
from darkpose.paper.runs import Reading, publish, run_all
from darkpose.paper.tables import forms
from darkpose.paper.tables.figures import COCO_COLUMNS, TABLE_7
from darkpose.paper.tables.rows import rows
from darkpose.paper.tables.trainings import Preset, configured

_PRESETS: dict[Preset, tuple[list[str], list[int]]] = {
    "paper": (
        ["hourglass_4", "hourglass_8", "simple_r50", "simple_r101", "simple_r152"]
        + ["hrnet_w32", "hrnet_w48"],
        [128, 256, 384],
    ),
    "small": (["hourglass_small", "simple_small", "hrnet_small"], [128, 256]),
}
"""The networks of Table 5 and the heights of Table 4."""

_PCK = "PCK, of the box's longer side"


def table(
    number: int,
    dataset: str = "lspet",
    preset: Preset = "small",
    networks: list[str] | None = None,
    heights: list[int] | None = None,
    seeds: int | None = None,
    out: Path = Path("runs/tables"),
    options: dict[str, Any] | None = None,
) -> None:
    """Train and evaluate the cells of one of the paper's tables, and print it beside the paper's.

    Networks that `out` already holds are not trained again and interrupted ones are continued, so
    that the tables of a data set share them. Beside them, tableN.md, tableN.csv and tableN.png.

    Args:
        number: of the table, 1 to 8. Table 7 is of COCO's test server: it prints what is cited.
        dataset: coco, mpii, lspet, or a configuration file for data of your own.
        preset: "paper" is the paper's networks and input sizes, and for coco and mpii its recipes;
            "small" is narrow networks of the same families and small inputs, for a CPU.
        networks: in place of the preset's. All tables but 5 are of the first of them.
        heights: of the input, in place of the preset's. All tables but 4 are of the first of them.
        seeds: runs of each network. If None: 1 for the paper's; 5 for small ones in Tables 1 to 3,
            2 in the others.
        out: folder; the runs and the table are in a folder of it that is named like the data set.
        options: further changes to every training, such as {"trainer.max_epochs": 8}.

    Raises:
        ValueError: there is no such table, network or recipe, or a number is not positive.
        FileExistsError: `out` holds a run with other settings.
    """
    if number == 7:
        publish(out / "coco" / "table7.md", TABLE_7)
        return
    if number == 8 and dataset != "mpii":
        raise ValueError(f"table 8 is of MPII: it needs --dataset mpii, got {dataset}")
    numbers = [*(heights or ()), *([] if seeds is None else [seeds])]
    if any(value < 1 for value in numbers):
        raise ValueError(f"seeds and heights must be positive, got {min(numbers)}")
    unknown = [name for name in networks or () if name not in MODELS]
    if unknown:
        raise ValueError(f"networks must be among {', '.join(MODELS)}, got {unknown[0]}")
    families, sizes = _PRESETS[preset]
    if number != 5:
        families = ["small" if preset == "small" else "hrnet_w32"]
    if dataset == "mpii":
        sizes = [256]
    wanted = rows(number, dataset, networks or families, heights or sizes)
    trainings = {row.training: row for row in wanted}
    made_as = {
        name: configured(row, dataset, preset, options or {}) for name, row in trainings.items()
    }
    folder = out / Path(dataset).stem
    seeds = seeds or (1 if preset == "paper" else 5 if number <= 3 else 2)
    runs = run_all(folder, made_as, range(seeds))
    found = {row: Reading(runs[row.training], row.decoder) for row in wanted}
    _report(folder, number, dataset, found)


@rank_zero_only
def _report(folder: Path, number: int, dataset: str, found: forms.Readings) -> None:
    sections = _sections(found)
    parts = [
        f"{title}\n\n{forms.figures_table(found, title, sections[title])}" for title in sections
    ]
    if number in (4, 5):
        square = next(iter(sections)).startswith("PCKh")
        parts.append(forms.costs_table(found, square))
    if _PCK in sections:  # joints are known: the boxes are annotated, not detected
        parts.append(forms.gains_table(number, found))
    publish(folder / f"table{number}.md", "\n\n".join(parts))
    write_text(folder / f"table{number}.csv", forms.csv_text(number, found, sections))
    title, (section, columns) = f"Table {number} on {folder.name}", next(iter(sections.items()))
    forms.draw_column(folder / f"table{number}.png", title, found, section, columns)


def _sections(found: forms.Readings) -> dict[str, forms.Columns]:
    """Return what the runs were scored by: MPII's PCKh, OKS, or neither; PCK on annotated boxes.

    PCKh is the customary table at each threshold, 0.11 being what the paper calls 0.1.
    """
    offered: dict[str, forms.Columns] = {
        f"PCKh@{t:g}": {group: f"PCKh@{t:g}/{group}" for group in MPII_GROUPS}
        | {"Mean": f"PCKh@{t:g}"}
        for t in PCKH_THRESHOLDS
    }
    offered["OKS"] = {name: name for name in COCO_COLUMNS}
    offered[_PCK] = {name: name for name in (f"PCK@{t:g}" for t in THRESHOLDS)}
    reading = next(iter(found.values()))
    known = reading.runs[0].figures[reading.decoder].keys()
    return {title: columns for title, columns in offered.items() if known >= {*columns.values()}}

# SPDX-License-Identifier: Apache-2.0
"""`darkpose table N`: train what is missing, evaluate every cell, print it beside the paper's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from darkpose.evaluate.metrics.pck import THRESHOLDS
from darkpose.evaluate.metrics.pckh import MPII_GROUPS, PCKH_THRESHOLDS
from darkpose.files import write_text
from darkpose.models import MODELS
from darkpose.paper.recipes import recipes
from darkpose.paper.runs import Run, Runs
from darkpose.paper.tables import report
from darkpose.paper.tables.paper import COCO_COLUMNS, MPII, NETWORKS, SIZES
from darkpose.paper.tables.plan import Plan
from darkpose.paper.tables.report import Measured, Section
from darkpose.paper.tables.rows import Row, Training, rows

Preset = Literal["paper", "small"]
_PRESETS: dict[Preset, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "paper": (tuple(NETWORKS), tuple(SIZES)),
    "small": (("hourglass_small", "simple_small", "hrnet_small"), (128, 256)),
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
        _publish(out / "coco", number, report.test_dev_table())
        return
    folder = out / Path(dataset).stem
    numbers = [*(heights or ()), *([] if seeds is None else [seeds])]
    if any(value < 1 for value in numbers):
        raise ValueError(f"seeds and heights must be positive, got {min(numbers)}")
    wanted = rows(number, *_chosen(number, dataset, preset, networks, heights))
    seeds = seeds or (1 if preset == "paper" else 5 if number <= 3 else 2)
    runs = _trained(wanted, _plan(dataset, preset, options or {}), Runs(folder), range(seeds))
    _report(folder, number, dataset, [Measured(row, runs[row.training]) for row in wanted])


@rank_zero_only
def _report(folder: Path, number: int, dataset: str, measured: Sequence[Measured]) -> None:
    sections = _sections(dataset, measured)
    parts = [f"{one.title}\n\n{report.markdown(measured, one)}" for one in sections]
    if number in (4, 5):
        parts.append(report.costs(measured, square=sections[0].title.startswith("PCKh")))
    if sections[-1].title == _PCK:  # joints are known: the boxes are annotated, not detected
        parts.append(report.gains(report.pairs(number, measured)))
    _publish(folder, number, "\n\n".join(parts))
    write_text(folder / f"table{number}.csv", report.csv_text(number, measured, sections))
    first = sections[0]
    column = "Mean" if "Mean" in first.columns else next(iter(first.columns))
    title = f"Table {number} on {folder.name}"
    report.figure(folder / f"table{number}.png", title, measured, first, column)


@rank_zero_only
def _publish(folder: Path, number: int, text: str) -> None:
    write_text(folder / f"table{number}.md", text)
    print(text)


def _chosen(
    number: int,
    dataset: str,
    preset: Preset,
    networks: Sequence[str] | None,
    heights: Sequence[int] | None,
) -> tuple[Sequence[str], Sequence[int]]:
    """Return what was asked for, or the preset's networks and heights."""
    if number == 8 and dataset != "mpii":
        raise ValueError(f"table 8 is of MPII: it needs --dataset mpii, got {dataset}")
    unknown = [name for name in networks or () if name not in MODELS]
    if unknown:
        raise ValueError(f"networks must be among {', '.join(MODELS)}, got {unknown[0]}")
    families, sizes = _PRESETS[preset]
    first = "small" if preset == "small" else "hrnet_w32"
    sizes = (256,) if dataset == "mpii" else sizes
    return networks or (families if number == 5 else (first,)), heights or sizes


def _plan(dataset: str, preset: Preset, options: dict[str, Any]) -> Plan:
    if dataset in ("coco", "mpii"):
        if preset == "paper":
            return Plan(dataset=dataset, options=options)
        base = recipes()[f"{dataset}/hrnet_w32_256_dark.yaml"]
        return Plan(base=base, options={"model.init": None, **options})
    if dataset == "lspet":
        return Plan(base=recipes()["lspet.yaml"], options=options)
    if not Path(dataset).is_file():
        raise ValueError(f"dataset must be coco, mpii, lspet or a YAML file, got {dataset}")
    return Plan(base=dataset, options=options)


def _trained(
    wanted: Sequence[Row], plan: Plan, runs: Runs, seeds: Sequence[int]
) -> dict[Training, list[Run]]:
    """Return every training's runs; a seed is done for all before the next begins."""
    found: dict[Training, list[Run]] = {row.training: [] for row in wanted}
    recipes = {training: plan.recipe(training) for training in found}
    for seed in seeds:  # a folder of other settings is found before hours of training
        for training, (recipe, changes) in recipes.items():
            runs.state(recipe, training.name, changes, seed)
    for seed in seeds:
        for training, (recipe, changes) in recipes.items():
            found[training].append(runs.get(recipe, training.name, changes, seed))
    return found


def _sections(dataset: str, measured: Sequence[Measured]) -> list[Section]:
    """Return what the runs were scored by: MPII's PCKh, OKS, or neither; PCK on annotated boxes."""
    known = measured[0].runs[0].figures[measured[0].row.decoder].keys()
    paper = {one.row: one.row.paper for one in measured if one.row.paper and dataset == "coco"}
    offered = [
        *_pckh_sections(dataset),
        Section("OKS", {name: name for name in COCO_COLUMNS}, paper),
        Section(_PCK, {f"PCK@{threshold:g}": f"PCK@{threshold:g}" for threshold in THRESHOLDS}),
    ]
    return [section for section in offered if known >= set(section.columns.values())]


def _pckh_sections(dataset: str) -> list[Section]:
    """Return the customary table at each threshold, 0.11 being what the paper calls 0.1."""
    sections = []
    for threshold in PCKH_THRESHOLDS:
        name = f"PCKh@{threshold:g}"
        columns = {group: f"{name}/{group}" for group in MPII_GROUPS} | {"Mean": name}
        paper = {
            row: MPII[row.training.representation][name]
            for row in rows(8, ("hrnet_w32",), (256,))
            if dataset == "mpii" and name in MPII[row.training.representation]
        }
        sections.append(Section(name, columns, paper))
    return sections

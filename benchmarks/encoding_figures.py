# SPDX-License-Identifier: Apache-2.0
"""What came out of `encoding.py`: errors in heatmap pixels, with intervals paired over images.

How much of the rounding a network repeats is the slope of its error x - t against the targets' own,
round(t) - t or floor(t) - t, both axes as one and means aside: 1 if it learned the rounded
positions, 0 if it learned the true ones. Unbiased targets are held against round(t) - t.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.figure import INK, OURS, plain
from darkpose.evaluate.markdown import table

Floats = NDArray[np.floating[Any]]
Runs = Mapping[tuple[str, int], Mapping[str, Floats]]
"""By target and seed: `joints` [N, K, 2], `counts` [C] and coordinates [C, N, K, 2] by decoder."""
Row = dict[str, Any]

WITHIN = (0.1, 0.2, 0.5)
UNSHIFTED = "floor, shift removed"
COLORS = {"unbiased": OURS, "round": "#3b82d6", "floor": "#2f9e6e", UNSHIFTED: "#2f9e6e"}
COLORS["round, truncated"] = "#9b6bd3"
_DRAWS = 1000


def residuals(runs: Runs, decoder: str) -> dict[tuple[str, int], Floats]:
    """Return x - t [C, N, K, 2] of each run, for floored targets without their mean shift too."""
    found = {}
    for (target, seed), run in runs.items():
        found[target, seed] = run[decoder] - run["joints"]
        if target == "floor":
            shift = found[target, seed].mean((1, 2), keepdims=True)
            found[UNSHIFTED, seed] = found[target, seed] - shift
    return found


def interval(statistic: Callable[[NDArray[np.int64]], float], images: int) -> list[float]:
    """Return the 95 % interval of a statistic of chosen images, drawn with replacement."""
    random = np.random.default_rng(0)
    draws = [statistic(random.integers(0, images, images)) for _ in range(_DRAWS)]
    return [float(value) for value in np.quantile(draws, (0.025, 0.975))]


def rounding(joints: Floats, target: str) -> Floats:
    """Return the targets' own error [N, K, 2]; for unbiased ones what rounding's would be."""
    return (np.floor(joints) if "floor" in target else np.floor(joints + 0.5)) - joints


def repeated(residual: Floats, own: Floats) -> float:
    """Return the slope of errors [N, K, 2] against the targets' own."""
    own = own - own.mean((0, 1))
    return float((own * residual).sum() / (own**2).sum())


def own_errors(joints: Floats) -> dict[str, float]:
    """Return the median distances of the rounded and the floored positions from the true ones."""
    offsets = {name: rounding(joints, name) for name in ("round", "floor")}
    return {name: float(np.median(np.linalg.norm(o, axis=-1))) for name, o in offsets.items()}


def rows_of(runs: Runs, decoders: list[str]) -> list[Row]:
    """Return a row for each target, seed, decoder and count; differences are to unbiased targets
    of the same seed and count, and have an interval, as slopes have."""
    rows = []
    for decoder in decoders:
        found = residuals(runs, decoder)
        distances = {key: np.linalg.norm(value, axis=-1) for key, value in found.items()}
        for (target, seed), distance in distances.items():
            run = runs[target.replace(UNSHIFTED, "floor"), seed]
            wrong, reference = rounding(run["joints"], target), distances["unbiased", seed]
            for i, count in enumerate(run["counts"]):
                own, base, residual = distance[i], reference[i], found[target, seed][i]
                row: Row = {"target": target, "seed": seed, "decoder": decoder}
                row |= {"images": int(count), "median": float(np.median(own))}
                row |= {f"within {t}": float((own < t).mean()) for t in WITHIN}
                row["repeated"] = repeated(residual, wrong)
                if decoder == decoders[-1]:
                    row["repeated interval"] = interval(
                        lambda s, r=residual, w=wrong: repeated(r[s], w[s]), len(own)
                    )
                if decoder == decoders[-1] and target != "unbiased":
                    row["difference"] = row["median"] - float(np.median(base))
                    row["difference interval"] = interval(
                        lambda s, a=own, b=base: float(np.median(a[s]) - np.median(b[s])), len(own)
                    )
                rows.append(row)
    return rows


def tables(rows: list[Row], decoder: str) -> str:
    """Return the figures as Markdown; cells have the seeds one after the other."""
    targets = list(dict.fromkeys(row["target"] for row in rows))
    decoders = list(dict.fromkeys(row["decoder"] for row in rows))
    counts = list(dict.fromkeys(row["images"] for row in rows))
    shares = [f"within {most}" for most in WITHIN]

    def cell(key: str, form: str, **wanted: Any) -> str:
        chosen = [row for row in rows if wanted.items() <= row.items()]
        return " / ".join(_with_bounds(row, key, form) for row in chosen)

    def by_count(title: str, key: str, form: str, columns: list[str], last: int) -> str:
        lines = [
            [f"{n:,}", *(cell(key, form, decoder=decoder, target=t, images=n) for t in columns)]
            for n in counts[-last:]
        ]
        return f"{title}:\n\n" + table(["images seen", *columns], lines)

    by_decoder = [
        [
            t,
            d,
            *(cell(k, ".3f", target=t, decoder=d, images=counts[-1]) for k in ("median", *shares)),
        ]
        for t in targets
        for d in decoders
    ]
    biased = [target for target in targets if target != "unbiased"]
    repeats = [target for target in targets if target != UNSHIFTED]
    return "\n\n".join(
        (
            by_count(f"Median error with `{decoder}`", "median", ".3f", targets, len(counts)),
            by_count("Median error less that of unbiased targets", "difference", "+.3f", biased, 5),
            by_count("How much of the rounding is repeated", "repeated", ".3f", repeats, 5),
            f"After {counts[-1]:,} images:",
            table(["targets", "decoder", "median error", *shares], by_decoder),
        )
    )


def _with_bounds(row: Row, key: str, form: str) -> str:
    low, high = row.get(f"{key} interval", (None, None))
    bounds = "" if low is None else f" ({low:{form}} to {high:{form}})"
    return f"{row[key]:{form}}{bounds}"


def picture(rows: list[Row], decoder: str, own: Mapping[str, float]) -> Figure:
    """Draw the error against the images seen, and against that of unbiased targets."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    seen, against = figure.subplots(1, 2)
    rows = [row for row in rows if row["decoder"] == decoder]
    base = {(r["seed"], r["images"]): r["median"] for r in rows if r["target"] == "unbiased"}
    for target, color in COLORS.items():
        style = "--" if target == UNSHIFTED else "-"
        for seed in sorted({row["seed"] for row in rows}):
            line = [row for row in rows if (row["target"], row["seed"]) == (target, seed)]
            y = [row["median"] for row in line]
            label = target if not seed else ""
            seen.plot([r["images"] for r in line], y, style, color=color, label=label, lw=1.2)
            x = [base[seed, row["images"]] for row in line]
            against.plot(x, y, style, color=color, lw=1.2, marker=".", ms=4)
    for axes in (seen, against):
        for name, height in own.items():
            axes.axhline(height, color=COLORS[name], lw=1, ls=":")
            how: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "size": 8}
            how |= {"textcoords": "offset points", "ha": "right", "color": COLORS[name]}
            axes.annotate(f"{name}ing's own", (1, height), (-2, 2), **how)
        axes.set(xscale="log", yscale="log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.grid(color=INK, alpha=0.25)
        plain(axes)
    seen.set_xlabel("images seen", color=INK)
    seen.set_ylabel("median error, heatmap pixels", color=INK)
    against.set_xlabel("median error of unbiased targets, heatmap pixels", color=INK)
    figure.legend(loc="outside upper center", ncols=5, frameon=False, labelcolor=INK)
    return figure

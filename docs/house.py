# SPDX-License-Identifier: Apache-2.0
"""Draw the rooms of `python/darkpose` and who imports whom, as the sources say it.

    python docs/house.py    # writes docs/house.svg

`tests/test_house.py` reads the same imports: they only go down, and the picture is of today.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "python" / "darkpose"
FIGURE = Path(__file__).with_name("house.svg")

FLOORS = (
    ("cli",),
    ("paper",),
    ("show", "deploy"),
    ("train", "predict"),
    ("evaluate",),
    ("models",),
    ("data",),
    ("root",),
)
"""From the roof down; a room imports what lies on lower floors."""

PURPOSE = {
    "root": "codec, decoders, geometry, files; interop: other people's libraries",
    "data": "files to samples: formats, joints, images, augmentation, batches",
    "models": "networks, the pose model, checkpoints, other people's weights",
    "evaluate": "metrics, evaluation, ensembles, what it leaves in a folder",
    "train": "Lightning's wrappers",
    "predict": "images and boxes to keypoints",
    "deploy": "one file to run elsewhere",
    "show": "pictures, plots, the report",
    "paper": "tables, recipes, synthetic people, demo",
    "cli": "the commands, each imported when it is called",
}

_WIDTH, _HEIGHT, _GAP, _LEFT = 760, 46, 34, 120


def room_of(module: str) -> str:
    """Return the room of a module `darkpose.x.y`: its folder, or the root."""
    if module == "darkpose.__main__":  # the command line's other name
        return "cli"
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in PURPOSE else "root"


def imports(path: Path) -> list[str]:
    """Return the modules of darkpose that a source file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            own = f"{node.module}." if node.module == "darkpose" else ""
            found += [f"{own}{alias.name}" for alias in node.names] if own else [node.module]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == "darkpose"]


def modules() -> dict[str, Path]:
    """Return every source file below `python/darkpose` by its module's name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("darkpose", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def dependencies() -> dict[tuple[str, str], int]:
    """Return by (room, imported room) how many imports there are."""
    counted: dict[tuple[str, str], int] = {}
    for module, path in modules().items():
        if module == "darkpose.drawing":  # the name under which it has been imported, forwarded
            continue
        for imported in imports(path):
            pair = (room_of(module), room_of(imported))
            if module != "darkpose" and pair[0] != pair[1]:  # the package names its rooms lazily
                counted[pair] = counted.get(pair, 0) + 1
    return counted


def draw() -> str:
    """Return the picture as SVG."""
    counted = dependencies()
    height = len(FLOORS) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 10} {height}" '
        'font-family="sans-serif" font-size="13">',
        "<style>rect{fill:#eceff1;stroke:#607d8b}text{fill:#263238}"
        ".small{font-size:11px;fill:#546e7a}</style>",
    ]
    for floor, rooms in enumerate(FLOORS):
        y = floor * (_HEIGHT + _GAP) + 4
        width = (_WIDTH - 12 * (len(rooms) - 1)) / len(rooms)
        for position, room in enumerate(rooms):
            x = _LEFT + position * (width + 12)
            below = sorted(
                (to for of, to in counted if of == room),
                key=lambda name: next(i for i, floor in enumerate(FLOORS) if name in floor),
            )
            label = f"{room}/" if room != "root" else "darkpose"
            parts += [
                f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{_HEIGHT}" rx="4"/>',
                f'<text x="{x + 12:.0f}" y="{y + 19}" font-weight="bold">{label}</text>',
                f'<text x="{x + 12:.0f}" y="{y + 36}" class="small">{PURPOSE[room]}</text>',
            ]
            if below:
                parts.append(
                    f'<text x="{x + 12:.0f}" y="{y + _HEIGHT + 15}" class="small">'
                    f"imports {', '.join(below)}</text>"
                )
    arrow = 46
    parts += [
        f'<path d="M{arrow} 8V{height - _GAP - 8}" stroke="#607d8b" stroke-width="2"/>',
        f'<path d="M{arrow - 6} {height - _GAP - 18}l6 12l6 -12" fill="none" stroke="#607d8b" '
        'stroke-width="2"/>',
        f'<text x="{arrow + 10}" y="{height // 2}" class="small">imports</text>',
        f'<text x="{arrow + 10}" y="{height // 2 + 14}" class="small">go down</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    FIGURE.write_text(draw())

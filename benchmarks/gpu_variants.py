# SPDX-License-Identifier: Apache-2.0
"""Measures the goals that were missed again: longer, and with other builds of the library.

    python benchmarks/gpu_variants.py GOALS [FOLDER] [--json FILE]

GOALS is the JSON of `goals.py` that says which were missed; the builds are FOLDER/variants/*.so,
compiled with another constant, say. Each takes the library's place in turn, which it gets back.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import goals, harness, script  # noqa: E402  from the folder this file is in
from benchmarks.gpu_library import LIBRARY, ROOT  # noqa: E402

SECONDS = 2.0  # for each goal


def measured(before: Path, rehearse: bool) -> list[script.Row]:
    """Return the rows that `goals.py` writes of the goals missed before, under today's library."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "goals.json"
        command = [sys.executable, "-u", str(ROOT / "benchmarks" / "goals.py"), "--device", "cuda"]
        command += ["--missed", str(before), "--json", str(path), "--seconds", str(SECONDS)]
        if rehearse:  # one op shows that it works
            command += ["--rehearse", "--only", "decode"]
        subprocess.run(command, check=True)
        return json.loads(path.read_text())["goals"] if path.exists() else []


def rows(before: Path, variants: list[Path], rehearse: bool) -> Iterator[script.Row]:
    """Yield the rows of each library."""
    print("-- the library as it is", flush=True)
    for row in measured(before, rehearse):
        yield {"library": "as it is", **row}
    with tempfile.TemporaryDirectory() as folder:
        kept = shutil.copyfile(LIBRARY, Path(folder) / "kept.so")
        try:
            for variant in variants:
                print(f"-- {variant.stem}", flush=True)
                LIBRARY.unlink()
                shutil.copyfile(variant, LIBRARY)
                for row in measured(before, rehearse):
                    yield {"library": variant.stem, **row}
        finally:
            LIBRARY.unlink(missing_ok=True)
            shutil.copyfile(kept, LIBRARY)


def main() -> None:
    """Measure, print, and write the figures if asked."""
    parser = script.arguments(__doc__, devices=("cuda",))
    parser.add_argument("goals", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "build" / "gpu-visit")
    options = parser.parse_args()
    device = script.start("gpu_variants", options)
    if not goals.missed(options.goals):
        print("no goal was missed")
        return
    # A time limit shall not leave a variant in the library's place: an exception restores it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    variants = sorted((options.folder / "variants").glob("*.so"))
    again = rows(options.goals, variants, options.rehearse)
    for _ in script.keep(again, options.json, harness.machine(device), "goals"):
        pass


if __name__ == "__main__":
    main()

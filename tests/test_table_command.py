# SPDX-License-Identifier: Apache-2.0
"""`darkpose table` from end to end: on a few people, on people whom a detector found, on MPII."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
import yaml

from darkpose.cli.main import main
from darkpose.data.mpii import load_mpii
from training_runs import fit, logged, write_config

PRINTED = 0.05  # percent: what one decimal leaves out


@dataclass(frozen=True)
class Folder:
    """Tables of a few people, made by the command line."""

    dataset: Path
    out: Path
    """Folder of the runs and the tables, named like the data set."""

    def make(self, number: int, **options: Any) -> None:
        options = {"trainer.max_epochs": 1, **options}
        main(
            ["table", str(number), "--dataset", str(self.dataset), "--networks", '["small"]']
            + ["--heights", "[128]", "--seeds", "1", "--out", str(self.out.parent)]
            + ["--options", json.dumps(options)]
        )

    def text(self, number: int) -> str:
        return (self.out / f"table{number}.md").read_text()


@pytest.fixture(scope="module")
def tables(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = tmp_path_factory.mktemp("tables")
    made = Folder(write_config(people, folder / "few.yaml"), folder / "runs" / "few")
    made.make(3)
    made.make(6)
    return made


def test_tables_in_one_folder_share_their_networks(tables: Folder) -> None:
    names = ("baseline", "biased", "dark", "dsnt", "ipr")
    made = {path.name for path in tables.out.iterdir()}
    assert made == {f"small_128_{name}-0" for name in names} | {
        f"table{number}.{kind}" for number in (3, 6) for kind in ("md", "csv", "png")
    }
    shared = tables.out / "small_128_dark-0"
    assert len(list((shared / "logs").iterdir())) == 1
    written = yaml.safe_load((shared / "config.yaml").read_text())
    assert written["codec"]["input_size"] == [96, 128] and written["trainer"]["max_epochs"] == 1
    for number in (3, 6):
        image = cv2.imread(str(tables.out / f"table{number}.png"))
        assert image is not None and image.std() > 1


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(("number", "count"), [(3, 6), (6, 3)])
def test_markdown_and_csv_have_every_row(tables: Folder, number: int, count: int) -> None:
    oks_title, oks, pck_title, pck, gained = tables.text(number).split("\n\n")
    assert (oks_title, pck_title) == ("OKS", "PCK, of the box's longer side")
    with (tables.out / f"table{number}.csv").open() as file:
        rows = [(row["network"], row["height"], row["decoder"]) for row in csv.DictReader(file)]
    for section in (oks, pck):
        found = [cells(line) for line in section.splitlines()[2:]]
        assert [(line[0], line[1], line[3]) for line in found] == rows and len(rows) == count
    assert len(gained.splitlines()) == 2 + count - 1


def test_the_figures_are_those_of_the_runs(tables: Folder) -> None:
    with (tables.out / "table3.csv").open() as file:
        for row in csv.DictReader(file):
            run = json.loads(
                (tables.out / f"small_128_{row['representation']}-0" / "run.json").read_text()
            )
            for name in ("AP", "PCK@0.05", "PCK@0.2"):
                figure = 100 * run["figures"][row["decoder"]][name]
                assert float(row[name]) == pytest.approx(figure, abs=PRINTED)
            assert float(row["PCK@0.2"]) > 0


def test_made_again_it_trains_only_what_is_missing(tables: Folder) -> None:
    """A finished run stays as it is; an interrupted one goes on from its last checkpoint."""
    before = tables.text(3)
    interrupted = tables.out / "small_128_biased-0"
    checkpoint = interrupted / "checkpoints" / "last.ckpt"
    trained = checkpoint.stat().st_mtime_ns
    (interrupted / "run.json").unlink()
    kept = [path for path in tables.out.glob("*/run.json")]
    times = [path.stat().st_mtime_ns for path in kept]
    tables.make(3)
    assert len(kept) == 4 and [path.stat().st_mtime_ns for path in kept] == times
    assert (interrupted / "run.json").exists() and checkpoint.stat().st_mtime_ns == trained
    assert tables.text(3) == before


def test_other_settings_in_its_folder_are_refused(tables: Folder) -> None:
    with pytest.raises(SystemExit) as refused:
        tables.make(3, **{"model.learning_rate": 0.5})
    sentence = str(refused.value)
    assert sentence.startswith("darkpose table: ") and "\n" not in sentence
    assert "small_128_baseline-0 must not exist or must hold a run with the same" in sentence


def test_people_that_a_detector_found_are_scored_by_oks_alone(
    tables: Folder, people: Path, tmp_path: Path
) -> None:
    content = json.loads((people / "annotations" / "person_keypoints_val.json").read_text())
    detections = [
        {"image_id": one["image_id"], "category_id": 1, "bbox": one["bbox"], "score": 0.9}
        for one in content["annotations"]
    ]
    found = tmp_path / "found.json"
    found.write_text(json.dumps(detections))
    made = Folder(tables.dataset, tmp_path / "runs" / "few")
    made.make(4, **{"data.detections": str(found)})
    title, oks, costs = made.text(4).split("\n\n")
    assert title == "OKS" and len(oks.splitlines()) == 4
    assert "| small | 128x96 | 1.0M |" in costs
    header = (made.out / "table4.csv").read_text().splitlines()[0]
    assert "AP_M" in header and "PCK" not in header


# ---- on MPII -------------------------------------------------------------------------------------


def draw_mpii(folder: Path) -> None:
    """Write people of noise, laid out as the recipes expect MPII below `DARKPOSE_DATA`."""
    rng = np.random.default_rng(0)
    (folder / "annot").mkdir(parents=True)
    (folder / "images").mkdir()
    for name, count in (("train", 16), ("valid", 6)):
        people = []
        for i in range(count):
            image = f"{name}{i:02}.png"
            pixels = rng.integers(0, 255, (90, 120, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / "images" / image), pixels)
            joints = rng.integers(20, 80, (16, 2)).astype(float).tolist()
            person = {"image": image, "center": [60.0, 45.0], "scale": 0.4, "joints": joints}
            people.append({**person, "joints_vis": 16 * [1]})
        (folder / "annot" / f"{name}.json").write_text(json.dumps(people))
    joints = np.array([person["joints"] for person in people]).transpose(1, 2, 0)
    head = np.array([[30.0, 20], [50, 50]])[..., None].repeat(len(people), -1)
    missing = np.zeros((16, len(people)), np.uint8)
    missing[:, 2] = 1  # nobody knows where the third one's joints are
    truth = {"jnt_missing": missing, "pos_gt_src": joints, "headboxes_src": head}
    scipy.io.savemat(folder / "annot" / "gt_valid.mat", truth)


@pytest.fixture(scope="module")
def mpii(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "mpii"
    draw_mpii(folder)
    return folder


def test_mpii_trains_and_is_evaluated(mpii: Path, config: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load(config.read_text())
    settings["data"] |= {
        "data_format": "mpii",
        "train": f"{mpii}/annot/train.json",
        "val": f"{mpii}/annot/valid.json",
        "val_mat": f"{mpii}/annot/gt_valid.mat",
        "train_images": f"{mpii}/images",
        "val_images": f"{mpii}/images",
    }
    config.write_text(yaml.safe_dump(settings))
    given = ("--trainer.max_epochs=1", "--model.learning_rate=0.01", "--seed=1")  # finds a few
    checkpoint = fit(config, tmp_path / "run", *given)
    last = {name: value for row in logged(tmp_path / "run") for name, value in row.items() if value}
    assert last["val/score"] == last["val/PCKh@0.5"] and "val/PCKh@0.11" in last

    out = tmp_path / "val"
    options = ["--config", str(config), "--ckpt_path", str(checkpoint), "--out", str(out)]
    main(["validate", *options])
    files = {file.name for file in out.iterdir() if file.is_file()}
    assert files == {"pred.mat", "figures.json", "errors.md"}
    found = scipy.io.loadmat(out / "pred.mat")["preds"] - 1
    people = load_mpii(mpii / "annot/valid.json", mpii, mpii / "annot/gt_valid.mat").records
    joints = np.stack([person.joints for person in people])
    labeled = joints[..., 2] > 0
    labeled[:, [6, 7]] = False  # pelvis and thorax are in no mean
    heads = np.linalg.norm(found - joints[..., :2], axis=-1) / (0.6 * math.hypot(20, 30))
    figures = json.loads((out / "figures.json").read_text())
    assert figures["PCKh@0.5"] == pytest.approx((heads[labeled] <= 0.5).mean())
    assert 0 < figures["PCKh@0.5"] == pytest.approx(float(last["val/PCKh@0.5"]))


def test_table_8_is_made_on_mpii(
    mpii: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one of the people has no labeled joint to compare."""
    monkeypatch.setenv("DARKPOSE_DATA", str(mpii.parent))
    options = {
        "trainer.max_epochs": 1,
        "trainer.check_val_every_n_epoch": 1,
        "trainer.accelerator": "cpu",
        "trainer.enable_progress_bar": False,
        "data.workers": 0,
        "data.batch_size": 8,
    }
    main(
        ["table", "8", "--dataset", "mpii", "--networks", '["small"]', "--heights", "[64]"]
        + ["--seeds", "1", "--out", str(tmp_path), "--options", json.dumps(options)]
    )
    out = tmp_path / "mpii"
    text = (out / "table8.md").read_text()
    titles, sections = text.split("\n\n")[::2], text.split("\n\n")[1::2]
    assert titles[:4] == ["PCKh@0.5", "PCKh@0.1", "PCKh@0.11", "PCK, of the box's longer side"]
    head, _, *lines = map(cells, sections[0].splitlines())
    assert head[5:] == ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean"]
    assert [line[2:4] for line in lines] == [
        ["biased, hrnet pixels", "standard"],
        ["unbiased, darkpose pixels", "dark"],
    ]
    assert "the paper" not in text and (out / "table8.png").exists()
    written = yaml.safe_load((out / "small_64_dark-0" / "config.yaml").read_text())
    assert written["codec"]["input_size"] == [64, 64] and written["codec"]["sigma"] == 0.5
    with (out / "table8.csv").open() as file:
        found = next(csv.DictReader(file))
    run = json.loads((out / "small_64_baseline-0" / "run.json").read_text())
    mean = 100 * run["figures"]["standard"]["PCKh@0.11"]
    assert float(found["PCKh@0.11"]) == pytest.approx(mean, abs=PRINTED)

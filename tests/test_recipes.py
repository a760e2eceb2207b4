# SPDX-License-Identifier: Apache-2.0
"""The packaged recipes: the paper's schedules, one for each row of its tables, plainly refused."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from jsonargparse import Namespace

from darkpose.cli.main import main
from darkpose.paper import recipes as packaged
from darkpose.paper.tables.rows import Row, rows
from darkpose.paper.tables.trainings import configured
from darkpose.train.trainer import settings, training_parser


@dataclass(frozen=True)
class Schedule:
    """What a family of networks is trained with, as its authors' configurations say."""

    learning_rate: float
    milestones: tuple[int, ...]
    epochs: int
    rotation: float
    scale: float
    half_body: float
    color: str


HRNET = Schedule(1e-3, (170, 200), 210, 45, 0.35, 0.3, "rgb")
SIMPLE = Schedule(1e-3, (90, 120), 140, 40, 0.3, 0, "bgr")
HOURGLASS = Schedule(2.5e-4, (90, 120), 140, 40, 0.3, 0, "bgr")
ON_MPII = Schedule(1e-3, (170, 200), 210, 30, 0.25, 0, "rgb")
SCHEDULES = {"hrnet": HRNET, "simple": SIMPLE, "hourglass": HOURGLASS}

# Batch, sigma, size of the modulation's kernel, and the AP or PCKh@0.5 that the paper prints.
RECIPES: dict[str, tuple[int, float, int | None, float | None]] = {
    "coco/hourglass_4_128_baseline": (32, 1, 11, 66.2),
    "coco/hourglass_4_128_dark": (32, 1, 11, 69.6),
    "coco/hourglass_8_128_baseline": (32, 2, 11, 67.6),
    "coco/hourglass_8_128_dark": (32, 2, 11, 70.8),
    "coco/simple_r50_128_baseline": (128, 1, 3, 59.3),
    "coco/simple_r50_128_dark": (128, 1, 3, 62.6),
    "coco/simple_r101_128_baseline": (128, 1, 3, 58.8),
    "coco/simple_r101_128_dark": (128, 1, 3, 63.2),
    "coco/simple_r152_128_baseline": (128, 1, 3, 60.7),
    "coco/simple_r152_128_dark": (128, 1, 3, 63.1),
    "coco/simple_r152_384_baseline": (128, 3, 11, 73.7),
    "coco/hrnet_w32_128_baseline": (128, 1, 3, 66.9),
    "coco/hrnet_w32_128_dark": (128, 1, 3, 70.7),
    "coco/hrnet_w32_128_biased": (128, 1, 3, None),
    "coco/hrnet_w32_128_dsnt": (128, 1, None, 57.6),
    "coco/hrnet_w32_128_ipr": (128, 1, None, 68.0),
    "coco/hrnet_w32_256_baseline": (128, 2, 11, 74.4),
    "coco/hrnet_w32_256_dark": (128, 2, 11, 75.6),
    "coco/hrnet_w32_384_baseline": (128, 3, 11, 75.8),
    "coco/hrnet_w32_384_dark": (112, 3, 11, 76.6),
    "coco/hrnet_w48_128_baseline": (128, 1, 11, 68.0),
    "coco/hrnet_w48_128_dark": (128, 1, 11, 71.9),
    "coco/hrnet_w48_384_baseline": (96, 3, 11, 75.5),
    "coco/hrnet_w48_384_dark": (72, 3, 11, 76.2),
    "coco/hrnet_w48_384_baseline_aic": (96, 3, 11, 77.0),
    "coco/hrnet_w48_384_dark_aic": (72, 3, 11, 77.4),
    "mpii/hrnet_w32_256_baseline": (128, 2, 11, 90.3),
    "mpii/hrnet_w32_256_dark": (128, 2, 11, 90.6),
}
# Baselines have HRNet's pixels and are read by shifting; the others differ in the encoding alone.
REPRESENTATIONS = {
    "baseline": ("hrnet", "biased", ("standard",)),
    "dark": ("darkpose", "unbiased", None),
    "biased": ("darkpose", "biased", None),
    "dsnt": ("darkpose", "dsnt", None),
    "ipr": ("darkpose", "ipr", None),
}
HOURGLASSES = ("hourglass_4", "hourglass_8")  # start from scratch
IMAGENET = {  # weights that training of the others starts from
    "hrnet_w32": "hrnet_w32-36af842e.pth",
    "hrnet_w48": "hrnet_w48-8ef0771d.pth",
    "simple_r50": "resnet50-19c8e357.pth",
    "simple_r101": "resnet101-5d3b4d8f.pth",
    "simple_r152": "resnet152-b121ed2d.pth",
}


@pytest.fixture(scope="module")
def recipes() -> Iterator[dict[str, Namespace]]:
    """Every recipe's options; reading them needs no data."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("DARKPOSE_DATA", raising=False)
        parser = training_parser()
        yield {
            name.removesuffix(".yaml"): parser.parse_args(["--config", text])
            for name, text in packaged.recipes().items()
            if name.startswith(("coco/", "mpii/"))
        }


def test_there_is_no_other_recipe(recipes: dict[str, Namespace]) -> None:
    assert recipes.keys() == RECIPES.keys()
    assert packaged.recipes().keys() - {f"{name}.yaml" for name in RECIPES} == {
        *("demo.yaml", "lspet.yaml"),
        *(f"vitpose/{name}.yaml" for name in ("base_coco", "base_own", "small_coco")),
    }


def test_the_whole_of_a_recipe_can_be_printed_and_copied(
    recipes: dict[str, Namespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "coco/hrnet_w48_384_dark_aic"
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--config", f"{name}.yaml", "--print_config"])
    assert ended.value.code == 0
    copy = tmp_path / "copy.yaml"
    copy.write_text(capsys.readouterr().out)
    parser = training_parser()
    parser.add_argument("--ckpt_path", type=Path | None)  # of `fit`
    copied = parser.parse_args(["--config", str(copy)])
    assert settings(parser, copied) == settings(parser, recipes[name])
    assert copied.out == recipes[name].out


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_as_its_authors_did(recipes: dict[str, Namespace], name: str) -> None:
    recipe, (dataset, training) = recipes[name], name.split("/")
    batch, sigma, modulation, _ = RECIPES[name]
    network, height, representation = training.removesuffix("_aic").rsplit("_", 2)
    wanted = ON_MPII if dataset == "mpii" else SCHEDULES[network.partition("_")[0]]
    augmentation = recipe.data.augmentation
    assert wanted == Schedule(
        recipe.model.learning_rate,
        recipe.model.milestones,
        recipe.trainer.max_epochs,
        augmentation.rotation,
        augmentation.scale,
        augmentation.half_body_probability,
        recipe.model.color,
    )
    assert (recipe.model.gamma, recipe.model.warmup, recipe.model.network) == (0.1, 0, network)
    assert (augmentation.rotation_probability, augmentation.flip_probability) == (0.6, 0.5)
    assert (augmentation.half_body_joints, augmentation.half_body_padding) == (9, 1.5)
    assert augmentation.half_body_upper == 0.69 or wanted.half_body == 0
    assert (augmentation.gain, augmentation.brightness) == (0, 0)

    codec = recipe.codec
    width = int(height) if dataset == "mpii" else int(height) * 3 // 4
    assert codec.input_size == (width, int(height))
    assert (recipe.data.batch_size, codec.sigma, codec.modulation) == (batch, sigma, modulation)
    found = (codec.convention.value, codec.encoding, recipe.model.decoders)
    assert found == REPRESENTATIONS[representation]
    assert (codec.padding, recipe.model.flip_test) == (1.25, True)
    assert recipe.trainer.max_epochs % recipe.trainer.check_val_every_n_epoch == 0


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_reproduces(name: str) -> None:
    text = Path(packaged.__file__).with_name("paper.yaml").read_text()
    line = next(line for line in text.splitlines() if line.startswith(f"  {name}:"))
    printed = re.findall(r"(?:AP|PCKh@0\.5) (\d\d\.\d)", line)
    figure = RECIPES[name][3]
    assert printed[:1] == ([] if figure is None else [f"{figure:.1f}"])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_finds_its_data_below_one_folder(recipes: dict[str, Namespace], name: str) -> None:
    recipe, dataset = recipes[name], name.partition("/")[0]
    data, init = recipe.data, IMAGENET.get(recipe.model.network)
    for path in (data.train, data.train_images, data.val, data.val_images):
        assert str(path).startswith(f"${{DARKPOSE_DATA}}/{dataset}/")
    assert (recipe.out, data.data_format) == (Path("runs", name), dataset)
    assert (data.val_mat is None, data.detections is None) == (dataset == "coco", dataset == "mpii")
    assert [one.format for one in data.extra] == (["aic"] if name.endswith("_aic") else [])
    assert recipe.model.init == (init and Path("${DARKPOSE_DATA}/imagenet", init))


def test_every_row_of_the_tables_has_a_recipe() -> None:
    heights = {4: [128, 256, 384], 8: [256]}
    named = {
        f"{dataset}/{row.training}"
        for number in (1, 2, 3, 4, 5, 6, 8)
        for dataset in ("mpii" if number == 8 else "coco",)
        for row in rows(
            number,
            dataset,
            [*IMAGENET, *HOURGLASSES] if number == 5 else ["hrnet_w32"],
            heights.get(number, [128]),
        )
    }
    assert len(named) == 6 + 3 + 12 + 2  # of hrnet_w32: 128; 256, 384; the other networks; MPII
    table_7 = {  # what can be trained of it
        *("simple_r152_384_baseline", "hrnet_w32_384_baseline", "hrnet_w48_384_baseline"),
        *("hrnet_w32_128_dark", "hrnet_w48_384_dark"),
        *("hrnet_w48_384_baseline_aic", "hrnet_w48_384_dark_aic"),
    }
    assert named | {f"coco/{name}" for name in table_7} == RECIPES.keys()


def test_a_row_is_trained_by_its_recipe_or_from_its_networks_nearest(
    recipes: dict[str, Namespace],
) -> None:
    own = configured(Row("hrnet_w32", 384, "dark", "dark"), "coco", "paper", {"seed": 3})
    parser = training_parser()
    assert own[1] == {"seed": 3}
    assert settings(parser, own[0].config) == settings(parser, recipes["coco/hrnet_w32_384_dark"])
    recipe, changes = configured(Row("hrnet_w48", 128, "ipr", "expectation"), "coco", "paper", {})
    assert recipe.config.out.name == "hrnet_w48_128_dark"
    assert changes["codec.encoding"] == "ipr" and changes["codec.sigma"] == 1
    recipe, changes = configured(
        Row("simple_r50", 256, "baseline", "standard"), "coco", "paper", {}
    )
    assert recipe.config.out.name == "simple_r50_128_dark"
    assert changes["codec.convention"] == "hrnet"
    assert changes["codec.input_size"] == (192, 256) and changes["codec.sigma"] == 2
    with pytest.raises(ValueError, match="no recipe for small: there are .*hrnet_w48_128"):
        configured(Row("small", 128, "dark", "dark"), "coco", "paper", {})


@pytest.mark.parametrize(
    ("name", "file", "source"),
    [
        (
            "coco/hrnet_w32_128_dark.yaml",
            "coco/annotations/person_keypoints_val2017.json must be COCO's keypoint annotations",
            "https://cocodataset.org/#download",
        ),
        (
            "mpii/hrnet_w32_256_dark.yaml",
            "mpii/annot/valid.json must be MPII's annotations as JSON",
            "https://github.com/leoxiaobin/deep-high-resolution-net.pytorch",
        ),
    ],
)
def test_absent_data_are_named_with_their_source(
    name: str, file: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKPOSE_DATA", str(tmp_path))
    with pytest.raises(SystemExit) as refused:
        main(["fit", "--config", name, "--out", str(tmp_path / "run")])
    sentence = str(refused.value)
    assert sentence.startswith(f"darkpose fit: {tmp_path}/{file}, got no such file: get it from")
    assert source in sentence and "\n" not in sentence
    assert not list(tmp_path.iterdir())

# SPDX-License-Identifier: Apache-2.0
"""The C++ example reads, crops and finds what Python reads, crops and finds, without Python."""

import json
import resource
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from darkpose.codec import HeatmapCodec
from darkpose.data.dataset import KeypointDataset
from darkpose.data.images import crop_image
from darkpose.deploy import pt2
from darkpose.deploy.export import export
from darkpose.models.pose import PoseModel
from darkpose_ext._library import LIBRARY
from photos import annotations, photo
from untrained import write_checkpoint

pytestmark = pytest.mark.slow

SOURCES = Path(__file__).parents[1] / "examples" / "cpp"
GRAY_LEVEL = 1  # the goal for crops
JPEG_LEVELS = 2  # two builds of libjpeg, one of them OpenCV's
PRINTED = 2e-3  # pixels: three digits after the point, and two orders of summing
MATRIX = 1e-6  # relative; nine digits are printed

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the example as its CMakeLists.txt says; return the folder of its programs."""
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    folder = tmp_path_factory.mktemp("build")
    prefix = f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"
    for command in (
        ["cmake", "-S", str(SOURCES), "-B", str(folder), prefix],
        ["cmake", "--build", str(folder), "--parallel", "2"],
    ):
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "warning: " not in ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "last.ckpt"
    return write_checkpoint(path, convention="hrnet", padding=1.0)


@pytest.fixture(scope="module")
def package(checkpoint: Path) -> Path:
    export(checkpoint, checkpoint.with_name("pose.pt2"))
    return checkpoint.with_name("pose.pt2")


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def cut(
    programs: Path,
    image: Path,
    box: str,
    folder: Path,
    convention: str = "hrnet",
    padding: float = 1.0,
) -> tuple[Pixels, NDArray[np.float64]]:
    """Return what `crop` cuts out, RGB of 96 x 128, and the matrix that it prints."""
    out = folder / "crop.ppm"
    ran = run(programs / "crop", convention, "96x128", padding, image, box, out)
    assert ran.returncode == 0, ran.stderr
    return read(out), np.array(json.loads(ran.stdout))


def read(path: Path) -> Pixels:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def noise(width: int, height: int) -> Pixels:
    """The hardest of pictures for interpolation: nothing is smooth."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---- crops ---------------------------------------------------------------------------------------


@pytest.mark.skipif(
    int(cv2.__version__.partition(".")[0]) < 5, reason="OpenCV 4 rounds places to 1/32 pixel"
)
@pytest.mark.parametrize("convention", ["hrnet", "darkpose", "udp"])
@pytest.mark.parametrize(
    "box", ["20,30,60,100", "-40.5,-20.25,90,95", "150,100,300,40", "0,0,199,149", "77,66,7.3,9"]
)
def test_crops_are_within_a_gray_level_of_those_of_opencv(
    programs: Path, tmp_path: Path, convention: str, box: str
) -> None:
    codec = HeatmapCodec((96, 128), convention=convention)  # type: ignore[arg-type]
    crop = codec.crop([float(number) for number in box.split(",")])
    for name, image in {"photo": photo((199, 149)), "noise": noise(199, 149)}.items():
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        ours, to_image = cut(programs, path, box, tmp_path, convention, codec.padding)
        expected = crop_image(image, codec.image_to_input(crop), codec.input_size)
        assert np.abs(ours.astype(int) - expected).max() <= GRAY_LEVEL
        assert expected.max() > 0
        assert np.allclose(to_image, codec.heatmap_to_image(crop), rtol=MATRIX, atol=MATRIX)


# ---- formats -------------------------------------------------------------------------------------


def whole(programs: Path, image: Path, folder: Path) -> Pixels:
    """Return the 96 x 128 picture as `crop` reads it: its box makes the crop the picture."""
    pixels, _ = cut(programs, image, "0,0,96,128", folder)
    return pixels


def test_every_kind_of_pnm_is_read(programs: Path, tmp_path: Path) -> None:
    color = noise(96, 128)
    gray = color[..., 0]
    text = " ".join(map(str, color.ravel()))
    shades = " ".join(map(str, gray.ravel()))
    wide = (color.astype(">u2") * 257).tobytes()
    files = {
        "p6.ppm": (b"P6\n# a comment\n96 128\n255\n" + color.tobytes(), color),
        "p5.pgm": (b"P5 96 128 255\n" + gray.tobytes(), gray[..., None]),
        "p3.ppm": (f"P3 96 128 255 {text}".encode(), color),
        "p2.pgm": (f"P2\n96\n128 # width, height\n255\n{shades}".encode(), gray[..., None]),
        "wide.ppm": (b"P6 96 128 65535\n" + wide, color),
    }
    for name, (content, expected) in files.items():
        (tmp_path / name).write_bytes(content)
        assert (whole(programs, tmp_path / name, tmp_path) == expected).all(), name


def test_jpeg_and_png_are_read(programs: Path, tmp_path: Path) -> None:
    image, path = photo((96, 128)), tmp_path / "image.png"
    rgba = np.dstack([image, np.full((128, 96), 255, np.uint8)])
    for stored in (image, image[..., 0], rgba, image.astype(np.uint16) * 257):
        cv2.imwrite(str(path), stored)
        expected = read(path).astype(int)
        assert np.abs(whole(programs, path, tmp_path) - expected).max() <= GRAY_LEVEL
    path = tmp_path / "image.jpg"
    for stored in (image, image[..., 0]):
        cv2.imwrite(str(path), stored, (cv2.IMWRITE_JPEG_PROGRESSIVE, int(stored.ndim == 2)))
        expected = read(path).astype(int)
        assert np.abs(whole(programs, path, tmp_path) - expected).max() <= JPEG_LEVELS


def test_files_that_are_cut_short_or_no_images_are_refused(programs: Path, tmp_path: Path) -> None:
    image = noise(96, 128)
    for name in ("a.png", "a.jpg", "a.ppm"):
        cv2.imwrite(str(tmp_path / name), image)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    (tmp_path / "a.txt").write_text("P7 nothing")
    (tmp_path / "huge.ppm").write_text("P6 99999999 99999999 255\n")
    (tmp_path / "wrong.ppm").write_text("P3 1 1 255 1 2 300")
    (tmp_path / "empty.ppm").write_text("")
    for name, words in {
        "a.png": "must be a complete PNG",
        "a.jpg": "must be a complete JPEG",
        "a.ppm": "is cut short",
        "a.txt": "must be PNM",
        "huge.ppm": "must have from 1 to 2^30 pixels",
        "wrong.ppm": "has a value above the highest that it names",
        "empty.ppm": "must be PNM",
        "missing.ppm": "must be a readable file",
    }.items():
        path = tmp_path / name
        ran = run(programs / "crop", "udp", "96x128", 1.25, path, "0,0,9,9", tmp_path / "out.ppm")
        assert ran.returncode == 1 and f"crop: image {path} {words}" in ran.stderr
        assert len(ran.stderr.splitlines()) == 1
    assert not (tmp_path / "out.ppm").exists()


def test_a_header_alone_takes_no_memory_for_what_it_promises(
    programs: Path, tmp_path: Path
) -> None:
    limit = 1 << 30
    for kind in ("P6", "P2"):
        (tmp_path / "header.ppm").write_text(f"{kind} 32768 32768 255\n12")
        arguments = ["udp", "96x128", "1.25", tmp_path / "header.ppm", "0,0,9,9", tmp_path / "out"]
        ran = subprocess.run(
            [programs / "crop", *arguments],
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
        assert ran.returncode == 1 and "header.ppm is cut short" in ran.stderr


def test_numbers_out_of_range_and_folders_are_refused(programs: Path, tmp_path: Path) -> None:
    image, out = tmp_path / "a.ppm", tmp_path / "out.ppm"
    cv2.imwrite(str(image), photo((20, 15)))
    for size, padding, path, words in (
        ("1e30x128", 1.25, image, "expected a whole number from 1 on"),
        ("nanx128", 1.25, image, "expected a whole number from 1 on"),
        ("96x128", 0, image, "padding must be positive"),
        ("96x128", "nan", image, "padding must be positive"),
        ("96x128", 1.25, tmp_path, f"image {tmp_path} must be a readable file"),
    ):
        ran = run(programs / "crop", "udp", size, padding, path, "0,0,9,9", out)
        assert ran.returncode == 1 and words in ran.stderr
        assert not out.exists()


# ---- keypoints -----------------------------------------------------------------------------------


def evaluated(checkpoint: Path, image: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return what evaluation finds in the whole image: [K, 3]."""
    task = PoseModel.load(checkpoint)
    codec, found = task.codec, annotations(image)
    record = replace(found.records[0], image_size=size, box=(0, 0, *size))
    people = KeypointDataset(
        replace(found, records=(record,)),
        codec.input_size,
        convention=codec.convention,
        padding=codec.padding,
        clip_boxes=False,
    )
    with torch.inference_mode():
        heatmaps, _ = task.heatmaps(people[0]["image"][None])
        coords, scores = codec.decode(heatmaps, people[0]["to_image"][None])
    return torch.cat([coords, scores[..., None]], -1)[0].numpy()


def test_keypoints_are_those_of_evaluation(
    programs: Path, package: Path, checkpoint: Path, tmp_path: Path
) -> None:
    # A crop at half the size in HRNet's pixels reads every other pixel: nothing is interpolated.
    image, size = tmp_path / "a.png", (192, 256)
    cv2.imwrite(str(image), photo(size))
    ran = run(programs / "darkpose_cpp", package, image, "--threads", 1)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["size"] == [192, 256] and answer["image"] == str(image)
    assert len(answer["names"]) == 17 and len(answer["skeleton"][0]) == 2
    (person,) = answer["people"]
    assert person["box"] == [0, 0, 192, 256]
    expected = evaluated(checkpoint, image, size)
    assert np.abs(np.array(person["keypoints"]) - expected).max() <= PRINTED


def test_keypoints_of_many_boxes_are_those_of_python_for_the_same_crops(
    programs: Path, package: Path, tmp_path: Path
) -> None:
    image = tmp_path / "a.ppm"
    cv2.imwrite(str(image), photo((200, 150)))
    boxes = [f"{3 * i % 60},{2 * i % 50},{40 + i},{60 + i % 7}" for i in range(70)]
    ran = run(programs / "darkpose_cpp", package, image, *boxes)
    assert ran.returncode == 0, ran.stderr
    people = json.loads(ran.stdout)["people"]
    assert [",".join(f"{n:g}" for n in person["box"]) for person in people] == boxes
    model = pt2.Pt2Model(package)
    for i in (0, 31, 32, 69):
        crop, to_image = cut(programs, image, boxes[i], tmp_path)
        matrix = torch.from_numpy(to_image).float()[None]
        coords, scores = model(torch.from_numpy(crop)[None], matrix)
        found = np.array(people[i]["keypoints"])
        assert np.abs(found[:, :2] - coords[0].numpy()).max() <= PRINTED
        assert np.abs(found[:, 2] - scores[0].numpy()).max() <= PRINTED


def test_joints_beyond_every_number_are_null(programs: Path, package: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.ppm"
    cv2.imwrite(str(image), photo((20, 15)))
    ran = run(programs / "darkpose_cpp", package, image, "0,0,1e300,1e300")
    assert json.loads(ran.stdout)["people"][0]["keypoints"] == [None] * 17


def test_the_ops_library_is_found_by_a_name_in_the_same_folder(
    programs: Path, package: Path, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a.ppm"), photo((20, 15)))
    (tmp_path / "ops.so").symlink_to(LIBRARY)
    command = [programs / "darkpose_cpp", package, "a.ppm", "--ops", "ops.so"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_what_is_wrong_is_said_in_a_sentence(programs: Path, package: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.ppm"
    cv2.imwrite(str(image), photo((20, 15)))
    (tmp_path / "text.pt2").write_text("no package")
    for arguments, words in (
        ((), "usage: darkpose_cpp MODEL.pt2 IMAGE"),
        ((package, tmp_path / "none.ppm"), "none.ppm must be a readable file"),
        ((tmp_path / "none.pt2", image), "none.pt2 must be a readable file"),
        ((tmp_path / "text.pt2", image), "text.pt2 must be a .pt2 package of this libtorch"),
        ((package, image, "1,2,3"), 'a box must be x,y,width,height, got "1,2,3"'),
        ((package, image, "1,2,3,4x"), 'a box must be x,y,width,height, got "1,2,3,4x"'),
        ((package, image, "1,2,0,4"), "a box must be finite and of positive size"),
        ((package, image, "--fast"), "there is no option --fast"),
        ((package, image, "--ops"), "--ops needs a value"),
        ((package, image, "--threads", "nan"), "expected a whole number from 1 on, got nan"),
        ((package, image, "--ops", "/none.so"), "the ops' library must load (--ops names it)"),
    ):
        ran = run(programs / "darkpose_cpp", *arguments)
        assert ran.returncode == 1 and words in ran.stderr, ran.stderr
        assert len(ran.stderr.splitlines()) == 1 and not ran.stdout


def test_latency_answers_each_line_with_microseconds(
    programs: Path, package: Path, tmp_path: Path
) -> None:
    (tmp_path / "crops.raw").write_bytes(bytes(2 * 128 * 96 * 3))
    command = [str(programs / "latency"), str(package), str(tmp_path / "crops.raw"), "2"]
    ran = subprocess.run(command, input="\n\n\n", capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert len([float(line) for line in ran.stdout.split()]) == 3
    ran = subprocess.run([*command[:-1], "3"], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1 and "crops.raw must hold 3 crops of the model's size" in ran.stderr

# SPDX-License-Identifier: Apache-2.0
"""The C++ example reads, crops and finds what Python reads, crops and finds, without Python."""

import json
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from darkpose import Predictor
from darkpose.codec import HeatmapCodec
from darkpose.data.images import crop_image
from darkpose.deploy import pt2
from darkpose.deploy.export import export
from darkpose_ext._library import LIBRARY
from photos import photo
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


@pytest.fixture
def image(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "a.ppm"), photo((200, 150)))
    return tmp_path / "a.ppm"


def run(program: Path, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def answer(programs: Path, *arguments: object, **options: Any) -> dict[str, Any]:
    """Return what the example prints."""
    ran = run(programs / "darkpose_cpp", *arguments, **options)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)  # type: ignore[no-any-return]


def assert_refused(program: Path, words: str, *arguments: object, **options: Any) -> None:
    ran = run(program, *arguments, **options)
    assert ran.returncode == 1 and words in ran.stderr, ran.stderr
    assert len(ran.stderr.splitlines()) == 1 and not ran.stdout


def cut(
    programs: Path, image: Path, box: str, folder: Path, *how: object
) -> tuple[Pixels, NDArray[np.float64]]:
    """Return what `crop` cuts out, RGB of 96 x 128, and the matrix that it prints."""
    out, (convention, padding, *more) = folder / "crop.ppm", how or ("hrnet", 1.0)
    ran = run(programs / "crop", convention, "96x128", padding, image, box, out, *more)
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
        for how in ([], ["bicubic"]):
            given = (convention, codec.padding, *how)
            ours, to_image = cut(programs, path, box, tmp_path, *given)
            expected = crop_image(image, codec.image_to_input(crop), codec.input_size, *how)
            assert np.abs(ours.astype(int) - expected).max() <= GRAY_LEVEL
            assert expected.max() > 0
            assert np.allclose(to_image, codec.heatmap_to_image(crop), rtol=MATRIX, atol=MATRIX)


# ---- formats -------------------------------------------------------------------------------------


def whole(programs: Path, image: Path, folder: Path) -> Pixels:
    """Return the 96 x 128 picture as `crop` reads it: its box makes the crop the picture."""
    return cut(programs, image, "0,0,96,128", folder)[0]


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


def test_images_and_numbers_that_are_none_are_refused(programs: Path, tmp_path: Path) -> None:
    image = noise(96, 128)
    for name in ("a.png", "a.jpg", "a.ppm"):
        cv2.imwrite(str(tmp_path / name), image)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    (tmp_path / "a.txt").write_text("P7 nothing")
    (tmp_path / "huge.ppm").write_text("P6 99999999 99999999 255\n")
    (tmp_path / "wrong.ppm").write_text("P3 1 1 255 1 2 300")
    (tmp_path / "empty.ppm").write_text("")
    box, out = "0,0,9,9", tmp_path / "out.ppm"
    for name, words in {
        "a.png": "must be a complete PNG",
        "a.jpg": "must be a complete JPEG",
        "a.ppm": "is cut short",
        "a.txt": "must be PNM",
        "huge.ppm": "must have from 1 to 2^30 pixels",
        "wrong.ppm": "has a value above the highest that it names",
        "empty.ppm": "must be PNM",
        "missing.ppm": "must be a readable file",
        "": "must be a readable file",
    }.items():
        path = tmp_path / name
        words = f"crop: image {path} {words}"
        assert_refused(programs / "crop", words, "udp", "96x128", 1.25, path, box, out)
    whole_number, positive = "expected a whole number from 1 on", "padding must be positive"
    cv2.imwrite(str(tmp_path / "a.ppm"), image)
    for size, padding, words in (
        ("1e30x128", 1.25, whole_number),
        ("nanx128", 1.25, whole_number),
        ("96x128", 0, positive),
        ("96x128", "nan", positive),
    ):
        assert_refused(programs / "crop", words, "udp", size, padding, tmp_path / "a.ppm", box, out)
    assert not out.exists()


def test_a_header_alone_takes_no_memory_for_what_it_promises(
    programs: Path, tmp_path: Path
) -> None:
    path, limit = tmp_path / "header.ppm", (1 << 30, 1 << 30)
    for kind in ("P6", "P2"):
        path.write_text(f"{kind} 32768 32768 255\n12")
        arguments = ("udp", "96x128", 1.25, path, "0,0,9,9", tmp_path / "out")
        limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, limit)}
        assert_refused(programs / "crop", "header.ppm is cut short", *arguments, **limited)


# ---- keypoints -----------------------------------------------------------------------------------


def test_keypoints_are_those_of_the_predictor(
    programs: Path, package: Path, checkpoint: Path, tmp_path: Path
) -> None:
    # A crop at half the size in HRNet's pixels reads every other pixel: nothing is interpolated.
    image, size = tmp_path / "a.png", (192, 256)
    cv2.imwrite(str(image), photo(size))
    found = answer(programs, package, image, "--threads", 1)
    assert found["size"] == [192, 256] and found["image"] == str(image)
    assert len(found["names"]) == 17 and len(found["skeleton"][0]) == 2
    (person,) = found["people"]
    assert person["box"] == [0, 0, 192, 256]
    predictor = Predictor.from_checkpoint(checkpoint, device="cpu", flip_test=False)
    expected = predictor(image).keypoints[0]
    assert np.abs(np.array(person["keypoints"]) - expected).max() <= PRINTED


def test_keypoints_of_many_boxes_are_those_of_python_for_the_same_crops(
    programs: Path, package: Path, image: Path, tmp_path: Path
) -> None:
    boxes = [f"{3 * i % 60},{2 * i % 50},{40 + i},{60 + i % 7}" for i in range(70)]
    people = answer(programs, package, image, *boxes)["people"]
    assert [",".join(f"{n:g}" for n in person["box"]) for person in people] == boxes
    model = pt2.Pt2Model(package)
    for i in (0, 31, 32, 69):
        crop, to_image = cut(programs, image, boxes[i], tmp_path)
        matrix = torch.from_numpy(to_image).float()[None]
        coords, scores = model(torch.from_numpy(crop)[None], matrix)
        found = np.array(people[i]["keypoints"])
        assert np.abs(found[:, :2] - coords[0].numpy()).max() <= PRINTED
        assert np.abs(found[:, 2] - scores[0].numpy()).max() <= PRINTED


def test_joints_beyond_every_number_are_null(programs: Path, package: Path, image: Path) -> None:
    (person,) = answer(programs, package, image, "0,0,1e300,1e300")["people"]
    assert person["keypoints"] == [None] * 17


def test_the_ops_library_is_found_by_a_name_in_the_same_folder(
    programs: Path, package: Path, image: Path
) -> None:
    image.with_name("ops.so").symlink_to(LIBRARY)
    assert answer(programs, package, image.name, "--ops", "ops.so", cwd=image.parent)


def test_what_is_wrong_is_said_in_a_sentence(
    programs: Path, package: Path, image: Path, tmp_path: Path
) -> None:
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
        assert_refused(programs / "darkpose_cpp", words, *arguments)


def test_latency_answers_each_line_with_microseconds(
    programs: Path, package: Path, tmp_path: Path
) -> None:
    (tmp_path / "crops.raw").write_bytes(bytes(2 * 128 * 96 * 3))
    given = (programs / "latency", package, tmp_path / "crops.raw")
    ran = run(*given, 2, input="\n\n\n")
    assert ran.returncode == 0, ran.stderr
    assert len([float(line) for line in ran.stdout.split()]) == 3
    assert_refused(*given[:1], "crops.raw must hold 3 crops of the model's size", *given[1:], 3)

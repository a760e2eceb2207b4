# SPDX-License-Identifier: Apache-2.0
"""The C++ example reads and finds what Python reads and finds, without Python."""

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
from darkpose.deploy import pt2
from darkpose.deploy.export import export
from darkpose_ext._library import LIBRARY
from photos import photo
from untrained import write_checkpoint

pytestmark = pytest.mark.slow

SOURCES = Path(__file__).parents[1] / "examples" / "cpp"
GRAY_LEVEL = 1  # the goal for crops
JPEG_LEVELS = 2  # two builds of libjpeg, one of them OpenCV's
ROUNDED = 0.05  # pixels: where float32 geometry rounds a gray level to the other side
PRINTED = 2e-3  # pixels: three digits after the point, and two orders of summing

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
    return write_checkpoint(path, convention="hrnet", padding=1.0, enlarging="bicubic")


@pytest.fixture(scope="module")
def package(checkpoint: Path) -> Path:
    export(checkpoint, checkpoint.with_name("pose.pt2"), from_="image")
    return checkpoint.with_name("pose.pt2")


@pytest.fixture(scope="module")
def of_crops(checkpoint: Path) -> Path:
    """A package as those of before are."""
    export(checkpoint, checkpoint.with_name("crops.pt2"))
    return checkpoint.with_name("crops.pt2")


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


def read(path: Path) -> Pixels:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def noise(width: int, height: int) -> Pixels:
    """The hardest of pictures for interpolation: nothing is smooth."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---- formats -------------------------------------------------------------------------------------


def whole(programs: Path, image: Path, folder: Path) -> Pixels:
    """Return a picture as `read` reads it."""
    ran = run(programs / "read", image, folder / "read.ppm")
    assert ran.returncode == 0, ran.stderr
    return read(folder / "read.ppm")


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
    out = tmp_path / "out.ppm"
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
        assert_refused(programs / "read", f"read: image {path} {words}", path, out)
    assert not out.exists()


def test_a_header_alone_takes_no_memory_for_what_it_promises(
    programs: Path, tmp_path: Path
) -> None:
    path, limit = tmp_path / "header.ppm", (1 << 30, 1 << 30)
    for kind in ("P6", "P2"):
        path.write_text(f"{kind} 32768 32768 255\n12")
        limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, limit)}
        assert_refused(
            programs / "read", "header.ppm is cut short", path, tmp_path / "out", **limited
        )


# ---- keypoints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["package", "of_crops"])
def test_keypoints_are_those_of_the_predictor_and_of_python(
    programs: Path, checkpoint: Path, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    package, path = request.getfixturevalue(kind), tmp_path / "a.png"
    cv2.imwrite(str(path), photo((200, 150)))
    boxes = [[3.5 * i % 60 - 20, 2 * i % 50, 40 + i, 60 + i % 7] for i in range(70)]
    texts = [",".join(f"{n:g}" for n in box) for box in boxes]
    found = answer(programs, package, path, *texts, "--threads", 1)
    assert found["size"] == [200, 150] and found["image"] == str(path)
    assert len(found["names"]) == 17 and len(found["skeleton"][0]) == 2
    assert [person["box"] for person in found["people"]] == boxes
    keypoints = np.array([person["keypoints"] for person in found["people"]])
    predictor = Predictor.from_checkpoint(checkpoint, device="cpu", flip_test=False)
    apart = np.abs(keypoints - predictor(path, boxes).keypoints).max(-1)
    assert np.quantile(apart, 0.99) <= (PRINTED if kind == "of_crops" else ROUNDED)
    if kind == "package":
        given = torch.from_numpy(read(path)), torch.tensor(boxes)
        assert np.abs(keypoints - pt2.Pt2Model(package)(*given)[0].numpy()).max() <= PRINTED
    (person,) = answer(programs, package, path)["people"]
    assert person["box"] == [0, 0, 200, 150]


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
    programs: Path, of_crops: Path, tmp_path: Path
) -> None:
    (tmp_path / "crops.raw").write_bytes(bytes(2 * 128 * 96 * 3))
    given = (programs / "latency", of_crops, tmp_path / "crops.raw")
    ran = run(*given, 2, input="\n\n\n")
    assert ran.returncode == 0, ran.stderr
    assert len([float(line) for line in ran.stdout.split()]) == 3
    assert_refused(*given[:1], "crops.raw must hold 3 crops of the model's size", *given[1:], 3)

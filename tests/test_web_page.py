# SPDX-License-Identifier: Apache-2.0
"""The web page in a real browser: where a photo's joints are, and that nothing leaves it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytestmark = pytest.mark.slow
for package in ("onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs darkpose[onnx]")

from darkpose.data.drawing import skeleton_colors  # noqa: E402
from darkpose.data.joint_sets import COCO  # noqa: E402
from darkpose.deploy import onnx  # noqa: E402
from darkpose.deploy.program import CropsToKeypoints, ImageToKeypoints  # noqa: E402
from darkpose.models.pose import PoseModel  # noqa: E402
from photos import photo  # noqa: E402
from serving import serving  # noqa: E402
from untrained import write_checkpoint  # noqa: E402

PAGE = Path(__file__).parents[1] / "examples" / "web"
WIDTH, HEIGHT = 320, 240
NEAR = 0.01  # image pixels
SECONDS = 30_000  # for the network to be read, in milliseconds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, ONNX Runtime, a network and a photo."""
    library = PAGE / "node_modules"
    if not (library / "onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is not there: npm install --prefix examples/web")
    folder = tmp_path_factory.mktemp("site")
    (folder / "node_modules").symlink_to(library)
    shutil.copy(PAGE / "index.html", folder)
    checkpoint = write_checkpoint(folder / "small.ckpt", convention="udp")
    program = ImageToKeypoints(CropsToKeypoints(PoseModel.load(checkpoint)))
    onnx.write_program(program, folder / "pose.onnx")
    cv2.imwrite(str(folder / "photo.png"), photo((WIDTH, HEIGHT)))
    return folder


class Opened:
    """The page, with all that it asked for and complained about."""

    def __init__(self, browser: Any, address: str, site: Path) -> None:
        import onnxruntime

        self.page = browser.new_context(has_touch=True).new_page()
        self.address, self.site = address, site
        self.session = onnxruntime.InferenceSession(site / "pose.onnx")
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.said("pose.onnx finds 17 joints. Open a photo.")

    def said(self, text: str) -> None:
        """Wait until the page says this."""
        self.page.get_by_role("status").filter(has_text=text).wait_for(timeout=SECONDS)

    def open_photo(self) -> None:
        self.page.locator("#photo").set_input_files(self.site / "photo.png")
        self.said("1 person in ")
        self.page.locator("#least").fill("0")

    def at(self, *point: float) -> tuple[float, float]:
        """Return where on the screen a point of the photo is."""
        area = self.page.locator("#drawing").bounding_box()
        shares = (value / size for value, size in zip(point, (WIDTH, HEIGHT), strict=True))
        x, y = (share * area[name] for share, name in zip(shares, ("width", "height"), strict=True))
        return area["x"] + x, area["y"] + y

    def drag(self, *corners: tuple[float, float]) -> None:
        """From one corner of a box to the other, with the mouse."""
        first, last = (self.at(*corner) for corner in corners)
        self.page.mouse.move(*first)
        self.page.mouse.down()
        self.page.mouse.move(*last, steps=3)
        self.page.mouse.up()

    def numbers(self, selector: str, *names: str) -> NDArray[np.float64]:
        """Return these attributes of all such shapes."""
        found = [
            [float(one.get_attribute(name)) for name in names]
            for one in self.page.locator(selector).all()
        ]
        return np.array(found).reshape(-1, len(names))

    def check(self, boxes: list[list[float]]) -> None:
        """Compare what is drawn with what ONNX Runtime finds outside of the browser."""
        image = cv2.cvtColor(cv2.imread(str(self.site / "photo.png")), cv2.COLOR_BGR2RGB)
        given = {"image": image, "boxes": np.array(boxes, np.float32)}
        keypoints, scores = self.session.run(None, given)
        drawn = self.numbers("circle", "cx", "cy")
        np.testing.assert_allclose(drawn, keypoints[..., :2].reshape(-1, 2), atol=NEAR)
        titles = self.page.locator("circle title").all_text_contents()
        assert [float(title.split()[-1]) for title in titles] == pytest.approx(
            keypoints[..., 2].ravel().tolist(), abs=0.0051
        )
        legends = self.page.locator("legend").all_text_contents()
        assert legends == [f"Box {n}, score {score:.2f}" for n, score in enumerate(scores, 1)]
        lines = self.numbers("line", "x1", "y1", "x2", "y2").reshape(len(boxes), -1, 4)
        ends = keypoints[:, np.array(COCO.skeleton), :2].reshape(lines.shape)
        np.testing.assert_allclose(lines, ends, atol=NEAR)


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    with serving(site) as address:
        yield address


@pytest.fixture
def opened(browser: Any, served: str, site: Path) -> Iterator[Opened]:
    one = Opened(browser, served, site)
    yield one
    assert one.complaints == []
    one.page.context.close()


def test_the_whole_image_is_a_person_at_first_and_is_drawn_in_its_colors(opened: Opened) -> None:
    opened.open_photo()
    opened.check([[0, 0, WIDTH, HEIGHT]])
    shown = opened.page.screenshot(full_page=True)
    pixels = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    points, colors = opened.numbers("circle", "cx", "cy"), skeleton_colors(COCO).joints
    inside = ((points >= 0) & (points < (WIDTH, HEIGHT))).all(-1)
    free = [
        np.linalg.norm(points[k + 1 :] - points[k], axis=-1).min(initial=99) > 5 for k in range(17)
    ]
    seen = np.flatnonzero(inside & free)  # under no joint that is drawn later
    assert len(seen) >= 5
    for k in seen:
        column, row = map(int, opened.at(*(points[k] + 0.5)))
        assert pixels[row, column].tolist() == list(colors[k])
    strokes = [line.get_attribute("stroke") for line in opened.page.locator("line").all()]
    limbs = skeleton_colors(COCO).limbs
    assert strokes == [f"rgb({red} {green} {blue})" for red, green, blue in limbs]
    area = opened.page.locator("circle").first.bounding_box()
    middle = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    # The center of a pixel, an integer in the file's output, lies half a pixel from its corner.
    assert middle == pytest.approx(opened.at(*(points[0] + 0.5)), abs=0.05)


def test_boxes_are_dragged_by_mouse_and_finger_typed_and_removed(opened: Opened) -> None:
    opened.open_photo()
    page = opened.page
    opened.drag((20, 30), (120, 200))
    opened.said("1 person in ")
    found = opened.numbers("rect", "x", "y", "width", "height").tolist()
    assert found[0] == pytest.approx([20, 30, 100, 170], abs=0.5)
    touch = page.context.new_cdp_session(page)
    for kind, point in (("Start", (150, 40)), ("Move", (200, 90)), ("Move", (300, 220))):
        x, y = opened.at(*point)
        given = {"type": f"touch{kind}", "touchPoints": [{"x": x, "y": y}]}
        touch.send("Input.dispatchTouchEvent", given)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    opened.said("2 people in ")
    boxes = opened.numbers("rect", "x", "y", "width", "height").tolist()
    assert boxes[0] == found[0] and boxes[1] == pytest.approx([150, 40, 150, 180], abs=0.5)
    opened.check(boxes)

    field = page.locator("fieldset").first.get_by_label("height")
    field.fill("50.5")
    field.press("Enter")
    page.locator("rect[height='50.5']").wait_for()
    opened.said("2 people in ")
    opened.check([[*boxes[0][:3], 50.5], boxes[1]])
    assert page.evaluate("document.activeElement.id") == "height-0"
    page.locator("fieldset").first.get_by_role("button").press("Enter")
    opened.said("1 person in ")
    opened.check(boxes[1:])
    page.get_by_role("button", name="Whole image").press("Enter")
    page.locator(f"rect[width='{WIDTH}']").wait_for()
    opened.said("1 person in ")
    opened.check([[0, 0, WIDTH, HEIGHT]])


def test_what_cannot_be_used_is_said_and_nothing_leaves_the_page(
    opened: Opened, tmp_path: Path
) -> None:
    page = opened.page
    page.get_by_role("button", name="Add a box").click()
    opened.said("Open a photo first.")
    opened.open_photo()
    (tmp_path / "words.onnx").write_text("words")
    onnx.write(torch.nn.ReLU(), (torch.ones(2, 3),), tmp_path / "relu.onnx", input_names=["x"])
    drop = """
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(["words"], "words.png"));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer }));
    """
    page.evaluate(drop)
    opened.said("words.png is no image of a kind and size that this browser reads.")
    page.locator("#network").set_input_files(tmp_path / "words.onnx")
    opened.said(
        "words.onnx does not run here: Failed to load model because protobuf parsing failed."
    )
    page.locator("#network").set_input_files(tmp_path / "relu.onnx")
    opened.said("relu.onnx must be written by darkpose export with --from image, it takes x.")
    opened.check([[0, 0, WIDTH, HEIGHT]])  # the one before is still there
    assert all(url.startswith(opened.address) for url in opened.requests)
    page.evaluate("fetch('https://example.com/').catch(() => null)")
    assert opened.complaints and "Content Security Policy" in opened.complaints[0]
    opened.complaints.clear()

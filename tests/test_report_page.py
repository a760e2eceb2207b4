# SPDX-License-Identifier: Apache-2.0
"""A report in a real browser: what people see, filter, enlarge and reach with the keyboard."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from darkpose.show.report import write_report
from reporting import data_of, evaluated, hostile_page, maps_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    evaluation = evaluated(people)
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(evaluation, path, title="Mine", maps=maps_of(evaluation), count=12)
    return path


class Opened:
    """A page, with all that it asked for and complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        size = options.pop("size", (1200, 900))
        viewport = {"width": size[0], "height": size[1]}
        self.page = browser.new_context(viewport=viewport, **options).new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        self.page.goto(path.as_uri())
        self.data = data_of(path.read_text())

    def names(self) -> list[str]:
        """Return the name below each picture."""
        return self.page.locator(".card span:last-child").all_text_contents()


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    one = Opened(browser, report)
    yield one
    assert one.complaints == []
    one.page.context.close()


def title(person: dict[str, Any]) -> str:
    return f"{person['name']}, annotation {person['annotation']}"


def test_a_page_loads_nothing_and_complains_of_nothing(opened: Opened, report: Path) -> None:
    opened.page.wait_for_load_state("networkidle")
    outside = [url for url in opened.requests if not url.startswith("data:")]
    assert outside == [report.as_uri()]
    assert opened.page.title() == "Mine"
    opened.page.evaluate("fetch('https://example.com/').catch(() => null)")
    assert any("Content Security Policy" in one for one in opened.complaints)
    opened.complaints.clear()


def test_every_chart_is_drawn(opened: Opened) -> None:
    page = opened.page
    assert page.locator("#decoder-chart polyline").count() == 4
    assert page.locator("#joint-chart polyline").count() == 17
    for name, place in {"people": "people", "joints": "joint"}.items():
        full = sum(one["count"] > 0 for one in opened.data["calibration"][name])
        assert full and page.locator(f"#{place}-calibration circle").count() == full
    assert page.locator(".close-ups figure").count() == 8
    # A curve lies where its shares say: its end, at the right edge of the frame.
    share = opened.data["curve"]["values"]["dark"][0][-1]
    points = page.locator("#decoder-chart polyline").last.get_attribute("points").split()
    x, y = map(float, points[-1].split(","))
    assert x == pytest.approx(560 - 12) and y == pytest.approx(300 - 290 * share)


def test_curves_are_read_with_the_keyboard(opened: Opened) -> None:
    chart = opened.page.locator("#decoder-chart svg")
    chart.focus()
    for _ in range(3):
        opened.page.keyboard.press("ArrowRight")
    label = chart.get_attribute("aria-label")
    values = opened.data["curve"]["values"]
    assert opened.data["curve"]["at"][13] == 0.065 and "within 0.065" in label
    assert f"dark {values['dark'][0][13]:.3f}" in label
    button = opened.page.locator("#decoder-legend button").first
    assert button.inner_text() == f"argmax {values['argmax'][0][13]:.3f}"
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert opened.page.locator("#decoder-chart .faded").count() == 3


def test_curves_of_one_joint_and_one_decoder_can_be_chosen(opened: Opened) -> None:
    page, wrist = opened.page, opened.data["names"].index("left_wrist")
    page.select_option("#curve-joint", label="left wrist")
    page.select_option("#curve-range", "0.05")
    page.select_option("#curve-decoder", "argmax")
    shares = opened.data["curve"]["values"]["dark"][wrist + 1]
    points = page.locator("#decoder-chart polyline").last.get_attribute("points").split()
    assert len(points) == 11  # 0 to 0.05
    assert float(points[-1].split(",")[1]) == pytest.approx(300 - 290 * shares[10])
    shares = opened.data["curve"]["values"]["argmax"][wrist + 1]
    points = page.locator("#joint-chart polyline").nth(wrist).get_attribute("points").split()
    assert float(points[-1].split(",")[1]) == pytest.approx(300 - 290 * shares[10])


def test_people_are_filtered_by_kind_joint_oks_and_text(opened: Opened) -> None:
    page, people = opened.page, opened.data["people"]
    assert opened.names() == [title(one) for one in people] and len(people) == 12
    page.select_option("#kind", "best")
    assert opened.names() == [title(one) for one in people if one["kind"] == "best"]
    page.select_option("#kind", "")

    middle = sorted(one["oks"]["dark"] for one in people)[6]
    least = round(middle + 0.005, 2)
    page.locator("#least").fill(f"{least:.2f}")
    kept = [title(one) for one in people if one["oks"]["dark"] >= least]
    assert opened.names() == kept and 0 < len(kept) < 12
    assert page.locator("#count").inner_text() == f"{len(kept)} of 12 people"
    page.locator("#least").fill("0")

    page.locator("#text").fill(people[3]["name"].upper())
    assert opened.names() == [title(one) for one in people if one["name"] == people[3]["name"]]
    page.locator("#text").fill("nobody at all")
    assert opened.names() == [] and page.locator("#count").inner_text() == "0 of 12 people"
    page.locator("#text").fill("")

    nose = opened.data["names"].index("nose")
    page.select_option("#joint", label="nose")
    labeled = [one for one in people if one["truth"][nose][2] > 0]
    labeled.sort(key=lambda one: -one["errors"]["dark"][nose])
    assert opened.names() == [title(one) for one in labeled]
    figure = page.locator(".card .figure").first.inner_text()
    assert figure.startswith(f"nose: {labeled[0]['errors']['dark'][nose]:.3f}")


def test_another_decoder_is_drawn_where_it_says(opened: Opened) -> None:
    page, first = opened.page, opened.data["people"][0]
    page.select_option("#decoder", "argmax")
    spot = page.locator(".card").first.locator(".spot").first
    x, y = first["points"]["argmax"][0]
    assert float(spot.get_attribute("cx")) == x and float(spot.get_attribute("cy")) == y
    assert first["points"]["dark"][0] != [x, y]
    assert page.locator(".card").first.locator(".slip").count() == 0
    page.check("#show-errors")
    labeled = sum(v > 0 for _, _, v in first["truth"])
    assert page.locator(".card").first.locator(".slip").count() == labeled
    page.uncheck("#show-predicted")
    page.uncheck("#show-annotated")
    assert page.locator(".card .spot, .card .true").count() == 0


def test_a_person_is_enlarged_zoomed_and_left_with_the_keyboard(opened: Opened) -> None:
    page, people = opened.page, opened.data["people"]
    page.locator(".card").nth(1).focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#person")
    assert dialog.is_visible() and title(people[1]) in dialog.locator("h3").inner_text()
    rows = dialog.locator("tbody tr")
    assert rows.count() == 17
    cells = rows.first.locator("td").all_text_contents()
    assert cells[-1] == f"{people[1]['errors']['dark'][0]:.3f}" or cells[0] == "-"

    def box() -> list[float]:
        text = page.locator("#person-picture > svg").get_attribute("viewBox")
        return [float(value) for value in text.split()]

    width, height = people[1]["size"]
    assert box() == [0, 0, width, height]
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert box()[2] == pytest.approx(width / 2.25) and box()[3] == pytest.approx(height / 2.25)
    assert box()[0] == pytest.approx((width - width / 2.25) / 2)
    page.keyboard.press("-")
    assert box()[2] == pytest.approx(width / 1.5)
    page.keyboard.press("0")
    assert box() == [0, 0, width, height]
    page.keyboard.press("ArrowRight")
    assert title(people[2]) in dialog.locator("h3").inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert title(people[0]) in dialog.locator("h3").inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    focused = page.evaluate("document.activeElement.querySelector('span:last-child').textContent")
    assert focused == title(people[0])


def test_the_wheel_zooms_about_the_pointer_and_dragging_moves(opened: Opened) -> None:
    page = opened.page
    page.locator(".card").first.click()
    picture = page.locator("#person-picture > svg")
    area = picture.bounding_box()
    x, y = area["x"] + 0.5 * area["width"], area["y"] + 0.4 * area["height"]
    under = """([x, y]) => {
        const matrix = document.querySelector('#person-picture > svg').getScreenCTM().inverse();
        const point = new DOMPoint(x, y).matrixTransform(matrix);
        return [point.x, point.y];
    }"""
    before = page.evaluate(under, [x, y])
    page.mouse.move(x, y)
    for _ in range(3):
        page.mouse.wheel(0, -100)
    page.wait_for_function(
        "document.querySelector('#person-picture > svg').viewBox.baseVal.width < "
        f"{0.6 * opened.data['people'][0]['size'][0]}"
    )
    assert page.evaluate(under, [x, y]) == pytest.approx(before, abs=0.5)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20, steps=4)
    page.mouse.up()
    assert page.evaluate(under, [x + 30, y + 20]) == pytest.approx(before, abs=0.5)


def test_the_error_table_is_sorted_by_a_column(opened: Opened) -> None:
    page = opened.page
    median = page.locator("table.sortable th", has_text="median")
    column = "table.sortable tbody tr td:nth-child(4)"
    median.locator("button").press("Enter")
    values = [float(text) for text in page.locator(column).all_text_contents()]
    assert values == sorted(values) and median.get_attribute("aria-sort") == "ascending"
    median.locator("button").click()
    values = [float(text) for text in page.locator(column).all_text_contents()]
    assert values == sorted(values, reverse=True)


def test_a_page_is_readable_in_light_and_dark_and_on_a_phone(browser: Any, report: Path) -> None:
    contrast = {}
    for scheme in ("light", "dark"):
        one = Opened(browser, report, color_scheme=scheme, size=(390, 800))
        style = "getComputedStyle(document.body)"
        paper, ink = (one.page.evaluate(f"{style}.{name}") for name in ("backgroundColor", "color"))
        contrast[scheme] = luminance(ink) - luminance(paper)
        wide = one.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390 and one.complaints == []
        one.page.context.close()
    assert contrast["light"] < -0.7 and contrast["dark"] > 0.7


def luminance(color: str) -> float:
    red, green, blue = (int(value) / 255 for value in re.findall(r"\d+", color)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_control_has_a_name(opened: Opened) -> None:
    unnamed = opened.page.evaluate("""
        [...document.querySelectorAll('button, select, input, [role=img]')].filter((one) =>
            !(one.textContent.trim() || one.getAttribute('aria-label') || one.labels?.length)
        ).map((one) => one.outerHTML.slice(0, 80))
    """)
    assert unnamed == []


def test_names_that_are_attacks_are_shown_and_not_run(
    browser: Any, people: Path, tmp_path: Path
) -> None:
    _, hostile = hostile_page(people, tmp_path)
    one = Opened(browser, tmp_path / "report.html")
    one.page.wait_for_timeout(200)
    assert one.complaints == []
    assert all(hostile in name for name in one.names()) and one.names()
    assert one.page.locator("img").count() == 0 and one.page.locator("script").count() == 2
    assert hostile in one.page.locator("h1").inner_text()
    one.page.select_option("#joint", "1")
    one.page.locator(".card").first.click()
    assert hostile in one.page.locator("#person h3").inner_text()
    assert hostile.replace("_", " ") in one.page.locator("#person tbody th").first.inner_text()
    assert one.complaints == []
    one.page.context.close()

"""The report in a real browser: sliders by mouse, touch and keys, table, search, phone width.

Skipped without Debian's Chromium and its driver.
"""
import base64
import io

import numpy as np
import pytest
from PIL import Image

from browser import chromium, show
from src.report.report import Report

pytestmark = pytest.mark.slow

GAINS = [3.0 - 0.2 * number for number in range(30)]  # image 0 gains most; images 16 to 29 lose


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium with a new profile."""
    driver = chromium(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report of 30 pairs with ground truth and scores. The order of the names is not the order of the gains."""
    report = Report("Test & report", {"checkpoint": "gitee.ckpt", "command": "python eval.py " + "--long_flag " * 20},
                    expected=30)
    for number, gain in enumerate(GAINS):
        images = [np.full((90, 120, 3), level, np.uint8) for level in (200, 90, 40)]
        scores = {"psnr_hazy": 12.0, "psnr": 12 + gain, "ssim_hazy": 0.5, "ssim": 0.6 + (number * 7 % 30) / 100}
        report.add(f"{(number * 11) % 30}_image_with_quite_a_long_name.png", *images, scores)
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write(path)
    return path.as_uri()


@pytest.fixture
def page(browser, address):
    """The report, newly opened at desktop size. After the test the console must be empty."""
    show(browser, 1280, 900)
    browser.get(address)
    yield browser
    assert browser.get_log("browser") == []


def run(page, script, *args):
    return page.execute_script(f"return {script}", *args)


def value(page, card=0):
    """The value of the slider, after a check that the divider has this position."""
    now, left, width = run(page, """(() => {
        const slider = document.querySelectorAll('.card [role=slider]')[arguments[0]];
        const a = slider.getBoundingClientRect(), b = slider.parentElement.getBoundingClientRect();
        return [Number(slider.getAttribute('aria-valuenow')), a.left + a.width / 2 - b.left, b.width]; })()""", card)
    assert left / width * 100 == pytest.approx(now, abs=0.6)
    return now


def box(page, card=0):
    """x, y, width, height of the picture in the window, scrolled to its middle."""
    return run(page, """(() => {
        const frame = document.querySelectorAll('.card .frame')[arguments[0]];
        frame.scrollIntoView({block: 'center'});
        const b = frame.getBoundingClientRect();
        return [b.left, b.top, b.width, b.height]; })()""", card)


def names(page):
    return run(page, "[...document.querySelectorAll('.card:not([hidden])')].map((card) => card.dataset.name)")


def swipe(page, start, end, steps=8):
    """Move a finger from start to end, in window coordinates."""
    touch = "Input.dispatchTouchEvent"
    page.execute_cdp_cmd(touch, {"type": "touchStart", "touchPoints": [{"x": start[0], "y": start[1]}]})
    for i in range(1, steps + 1):
        x, y = (start[k] + (end[k] - start[k]) * i / steps for k in (0, 1))
        page.execute_cdp_cmd(touch, {"type": "touchMove", "touchPoints": [{"x": x, "y": y}]})
    page.execute_cdp_cmd(touch, {"type": "touchEnd", "touchPoints": []})


def mouse(page, kind, x, y):
    page.execute_cdp_cmd("Input.dispatchMouseEvent", {
        "type": kind, "x": x, "y": y, "button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1})


def test_mouse_moves_the_divider_and_lets_go(page):
    x, y, width, height = box(page, 1)
    middle = y + height / 2
    assert value(page, 1) == 50
    mouse(page, "mousePressed", x + width * 0.5, middle)
    mouse(page, "mouseMoved", x + width * 0.8, middle)
    assert value(page, 1) == pytest.approx(80, abs=1)
    mouse(page, "mouseMoved", 2, 2)  # the divider follows outside the gallery too
    assert value(page, 1) == 0
    mouse(page, "mouseMoved", x + width * 0.3, middle)
    mouse(page, "mouseReleased", x + width * 0.3, middle)
    page.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x + width * 0.9, "y": middle})
    assert value(page, 1) == pytest.approx(30, abs=1)
    assert value(page, 0) == 50


def test_an_enlarged_card_stays_in_view(page):
    """The last card of a row moves to the row below when it becomes wide."""
    for card in (2, 5):
        top, window = run(page, """(() => {
            const card = document.querySelectorAll('.card')[arguments[0]];
            card.scrollIntoView({block: 'start'});
            card.querySelector('.wide-button').click();
            return [card.getBoundingClientRect().top, innerHeight]; })()""", card)
        assert 0 <= top < window / 4, card


def test_divider_uncovers_the_dehazed_picture(page):
    """The pixels are hazy (200) left of the divider and dehazed (90) right of it; then ground truth (40)."""
    def levels():
        shot = page.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB"))
        x, y, width, height = box(page)
        row = image[int((y + height * 0.2) * 2)]
        return [int(row[int((x + width * share) * 2)].mean()) for share in (0.1, 0.4, 0.6, 0.9)]

    x, y, width, height = box(page)
    page.execute_script("return Promise.all([...document.querySelector('.card').querySelectorAll('img')]"
                        ".filter((img) => img.offsetWidth).map((img) => img.decode()))")
    assert levels() == pytest.approx([200, 200, 90, 90], abs=4)
    mouse(page, "mousePressed", x + width * 0.3, y + height / 2)
    mouse(page, "mouseReleased", x + width * 0.3, y + height / 2)
    assert levels() == pytest.approx([200, 90, 90, 90], abs=4)
    page.find_element("css selector", ".truth-button").click()
    page.execute_script("return document.querySelector('.card .truth').decode()")
    assert levels() == pytest.approx([40, 90, 90, 90], abs=4)


def test_finger_moves_the_divider_sideways_and_scrolls_the_page_up(page):
    show(page, 390, 844, mobile=True)
    x, y, width, height = box(page)
    middle = y + height / 2
    swipe(page, (x + width * 0.5, middle), (x + width * 0.9, middle))
    assert value(page) == pytest.approx(90, abs=2)
    before = run(page, "scrollY")
    swipe(page, (x + width * 0.2, middle), (x + width * 0.2, middle - 300))
    assert value(page) == pytest.approx(90, abs=2)
    assert run(page, "scrollY") > before + 100


def test_tap_places_the_divider(page):
    show(page, 390, 844, mobile=True)
    x, y, width, height = box(page)
    swipe(page, (x + width * 0.25, y + height / 2), (x + width * 0.25, y + height / 2), steps=1)
    assert value(page) == pytest.approx(25, abs=1)


def test_keys_move_the_focused_divider(page):
    from selenium.webdriver.common.keys import Keys

    slider = page.find_element("css selector", ".card [role=slider]")
    for keys, expected in (([Keys.ARROW_RIGHT], 52), ([Keys.ARROW_LEFT] * 3, 46), ([Keys.ARROW_UP], 48),
                           ([Keys.ARROW_DOWN], 46), ([Keys.PAGE_UP], 56), ([Keys.HOME, Keys.ARROW_LEFT], 0),
                           ([Keys.END, Keys.ARROW_RIGHT], 100), ([Keys.PAGE_DOWN], 90)):
        slider.send_keys(*keys)
        assert value(page) == expected
    assert slider.get_attribute("aria-valuetext") == "90 % hazy, 10 % dehazed"
    assert (slider.get_attribute("aria-valuemin"), slider.get_attribute("aria-valuemax")) == ("0", "100")


def test_every_control_is_reached_by_tab_and_has_a_name(page):
    unnamed = run(page, """[...document.querySelectorAll('button, select, input, a, [role=slider]')]
        .filter((node) => node.offsetWidth && (node.tabIndex < 0 || !(node.textContent.trim()
            || node.getAttribute('aria-label') || (node.labels && node.labels.length)))).length""")
    assert unnamed == 0
    assert run(page, "[...document.images].every((image) => image.alt)")


def test_ground_truth_is_compared_on_one_card_or_on_all(page):
    pressed = "[...document.querySelectorAll('.truth-button')].filter((b) => b.ariaPressed === 'true').length"
    page.find_element("css selector", ".truth-button").click()
    assert run(page, pressed) == 1
    assert run(page, "document.querySelector('.label.before').textContent") == "Ground truth"
    page.find_element("id", "truth-everywhere").click()
    assert run(page, pressed) == 30
    page.find_element("id", "truth-everywhere").click()
    assert run(page, pressed) == 0
    assert run(page, "document.querySelector('.label.before').textContent") == "Hazy"


def choose(page, order):
    from selenium.webdriver.support.ui import Select

    Select(page.find_element("id", "order")).select_by_visible_text(order)


def test_gallery_opens_with_the_best_and_turns_round(page):
    by_gain = [f"{(number * 11) % 30}_image_with_quite_a_long_name.png" for number in range(30)]
    assert names(page) == by_gain[:24]
    choose(page, "Smallest gain first")
    assert names(page) == by_gain[::-1][:24]
    choose(page, "Name")
    assert names(page) == [f"{number}_image_with_quite_a_long_name.png" for number in range(24)]  # 2 before 10


def test_search_and_show_more(page):
    more = page.find_element("id", "more-button")
    assert more.text == "Show 6 more"
    more.click()
    assert len(names(page)) == 30 and not more.is_displayed()
    page.find_element("id", "filter").send_keys("29_IMAGE")
    assert names(page) == ["29_image_with_quite_a_long_name.png"]
    assert page.find_element("id", "count").text == "1 of 30"


def test_link_shows_a_card_that_was_not_shown(page):
    worst = run(page, "document.querySelectorAll('.tile a')[1].textContent")
    assert worst not in names(page)
    page.find_elements("css selector", ".tile a")[1].click()
    assert worst in names(page)
    top = run(page, "document.querySelector(location.hash).getBoundingClientRect().top")
    assert 0 <= top < 900


def test_table_sorts_by_every_column_both_ways(page):
    def column(number):
        return run(page, "[...document.querySelectorAll('tbody tr')].map((row) => row.cells[arguments[0]].textContent)",
                   number)

    for number in range(1, 6):
        head = page.find_elements("css selector", "th button")[number]
        head.click()
        falling = [float(text.replace("\u2212", "-")) for text in column(number)]
        assert falling == sorted(falling, reverse=True)
        head.click()
        assert [float(text.replace("\u2212", "-")) for text in column(number)] == sorted(falling)
        sorted_by = run(page, "[...document.querySelectorAll('th')].map((th) => th.ariaSort).filter(Boolean)")
        assert sorted_by == ["ascending"]
    page.find_elements("css selector", "th button")[0].click()
    assert column(0) == [f"{number}_image_with_quite_a_long_name.png" for number in range(30)]


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow_screens_never_scroll_sideways(page, width):
    show(page, width, 844, mobile=True)
    page.refresh()
    assert run(page, "document.documentElement.scrollWidth") <= width
    assert run(page, "innerWidth") == width  # a browser zooms out of a page that is too wide
    assert run(page, "document.querySelector('.frame').getBoundingClientRect().width") <= width


def test_long_names_that_differ_at_the_end_are_never_cut(browser, tmp_path):
    report = Report("Holiday", {})
    for number in range(2):
        images = [np.full((90, 120, 3), level, np.uint8) for level in (200, 90)]
        report.add(f"holiday/in_the_mountains_of_the_north/first_week/DSC_000{number}.jpg", *images,
                   scores={"psnr_hazy": 12.0, "psnr": 13.0 + number})
    report.write(tmp_path / "long.html")
    show(browser, 400, 844, mobile=True)
    browser.get((tmp_path / "long.html").as_uri())
    cut = run(browser, "[...document.querySelectorAll('.card h3, tbody th, .tile a')]"
                       ".filter((name) => name.scrollWidth > name.clientWidth).map((name) => name.className)")
    assert cut == []


def test_dark_scheme_is_followed(page):
    background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    assert run(page, background) > 230
    show(page, 1280, 900, dark=True)
    assert run(page, background) < 40


def test_one_picture_without_scores_needs_no_controls(browser, tmp_path):
    report = Report("One", {})
    report.add("tall.png", np.zeros((300, 100, 3), np.uint8), np.full((300, 100, 3), 200, np.uint8))
    report.write(tmp_path / "one.html")
    show(browser, 1280, 900)
    browser.get((tmp_path / "one.html").as_uri())
    assert not browser.find_element("id", "controls").is_displayed()
    x, _, width, height = box(browser)
    assert height <= 0.83 * 900 and width == pytest.approx(height / 3, rel=0.02) and x > 300
    assert browser.get_log("browser") == []

"""The report is one file that shows any input correctly."""
import base64
import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from src.errors import InputError
from src.report.chart import _bins, histogram
from src.report.html import HEADINGS
from src.report.report import MAX_BYTES, Report, software_versions

NASTY = "<script>alert('x')</script> & \"quotes\" \udcff {{ title }}.png"


def photo(seed=0, height=48, width=64):
    """A picture of noise, which is the worst case for compression."""
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def written(report, path):
    report.write(path)
    return path.read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Collects (tag, attributes) and the text inside <script>."""

    def __init__(self, html):
        super().__init__()
        self.all = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))

    def of(self, tag, cls=""):
        return [attrs for name, attrs in self.all if name == tag and cls in (attrs.get("class") or "").split() + [""]]


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    report = Report("Demo", {"checkpoint": "a.ckpt"})
    report.add("a.png", photo(), photo(1), photo(2), {"psnr": 20.0})
    html = written(report, tmp_path / "report.html")
    sources = [attrs[key] for _, attrs in Elements(html).all for key in ("src", "href") if key in attrs]
    assert len(sources) >= 4
    assert all(source.startswith(("data:image/", "#i")) for source in sources)
    assert not re.search(r"url\((?!\"data:)|@import", html)
    assert "default-src 'none'" in html
    # without an icon, a browser asks the server for /favicon.ico
    assert [link["rel"] for link in Elements(html).of("link")] == ["icon"]


def test_each_picture_is_embedded_with_its_own_alt_text(tmp_path):
    report = Report("Demo", {})
    flat = [np.full((30, 40, 3), level, np.uint8) for level in (40, 120, 200)]
    report.add("a.png", flat[0], flat[1], flat[2])
    pictures = Elements(written(report, tmp_path / "report.html")).of("img")
    levels = {}
    for attrs in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(attrs["src"].split(",")[1])))
        assert image.size == (40, 30)
        levels[attrs["alt"]] = round(float(np.asarray(image.convert("RGB")).mean()), -1)
    assert levels == {"a.png, hazy input": 40, "a.png, dehazed": 120, "a.png, ground truth": 200}


def test_names_and_facts_cannot_break_the_page(tmp_path):
    report = Report(NASTY, {NASTY: NASTY, "command": NASTY})
    for _ in range(3):
        report.add(NASTY, photo(), photo(1), None, {NASTY: 1.0, "psnr": 2.0, "psnr_hazy": 1.0})
    elements = Elements(written(report, tmp_path / "report.html"))
    assert len(elements.of("script")) == 1
    shown = NASTY.replace("\udcff", "\\udcff")
    assert [attrs["data-name"] for attrs in elements.of("figure")] == [shown] * 3


def test_facts_have_four_digits_and_stay_in_order(tmp_path):
    report = Report("Demo", {"val_psnr": 21.903457641601562, "checkpoint": "a.ckpt", "step": 123456, "arch": "paper"})
    report.add("a.png", photo(), photo(1))
    html = written(report, tmp_path / "report.html")
    assert re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", html) == [
        ("val_psnr", "21.9"), ("checkpoint", "a.ckpt"), ("step", "123456"), ("arch", "paper")]


def test_without_scores_there_is_a_gallery_alone(tmp_path):
    report = Report("Demo", {})
    for number in range(3):
        report.add(f"{number}.png", photo(), photo(1))
    html = written(report, tmp_path / "report.html")
    elements = Elements(html)
    assert len(elements.of("figure")) == 3
    assert not elements.of("table") and not elements.of("svg") and not elements.of("section", "summary")
    assert 'id="truth-everywhere"' not in html and "Order" in html


def test_scores_fill_table_cards_and_summary(tmp_path):
    report = Report("Demo", {})
    report.add("a.png", photo(), photo(1), None, {"psnr_hazy": 10.0, "psnr": 16.5, "ssim_hazy": 0.5, "ssim": 0.8})
    report.add("b.png", photo(), photo(1), None, {"psnr_hazy": 12.0, "psnr": 11.25, "ssim_hazy": 0.7, "ssim": 0.6})
    html = written(report, tmp_path / "report.html")
    table = html[html.index("<table"):html.index("</table>")]
    assert re.findall(r'<button type="button">([^<]+)', table) == [
        "Image", "PSNR hazy", "PSNR", "PSNR gain", "SSIM hazy", "SSIM"]
    assert re.findall(r"<td[^>]*>([^<]+)", table) == [
        "10.00", "16.50", "+6.50", "0.5000", "0.8000", "12.00", "11.25", "\u22120.75", "0.7000", "0.6000"]
    summary = html[html.index('class="tiles"'):html.index("<svg")]
    assert "<b>13.88<small> dB" in summary and "from 11.00 dB" in summary and "<b>0.7000" in summary
    assert "<b>1<small> of 2" in summary and "1 image lost PSNR" in summary
    assert summary.index('href="#i0"') < summary.index('href="#i1"')  # the best before the worst
    assert '"gain worse">\u22120.75' in html


def test_infinite_and_missing_scores_are_shown_and_left_out_of_means(tmp_path):
    report = Report("Demo", {})
    report.add("same.png", photo(), photo(), None, {"psnr_hazy": 10.0, "psnr": float("inf"), "ssim": float("nan")})
    report.add("a.png", photo(), photo(1), None, {"psnr_hazy": 10.0, "psnr": 14.0})
    report.add("b.png", photo(), photo(1), None, {"psnr_hazy": 10.0, "psnr": 16.0})
    html = written(report, tmp_path / "report.html")
    assert 'data-value="Infinity">\u221e</td>' in html and 'data-value="NaN">\u2013</td>' in html
    assert "<b>15.00<small> dB" in html


def test_file_stays_under_its_limit_even_for_noise(tmp_path):
    count, limit = 6, MAX_BYTES * 6 // 500  # the share of each of 500 pairs
    report = Report("Demo", {}, expected=count, max_bytes=limit)
    scores = dict.fromkeys(HEADINGS, 1.2345678901234567)
    for number in range(count):
        noise = photo(number, 460, 620)
        report.add(f"a_rather_long_name_of_an_image_{number:04d}.png", noise, noise, noise, scores)
    report.write(tmp_path / "report.html")
    assert 0.2 * limit < (tmp_path / "report.html").stat().st_size < limit


def test_pictures_of_a_pair_are_scaled_alike_to_fit(tmp_path):
    report = Report("Demo", {}, expected=1, max_bytes=120_000)
    smooth = np.full((400, 600, 3), 90, np.uint8)
    report.add("a.png", smooth, photo(0, 400, 600))
    sizes = [Image.open(io.BytesIO(file)).size for file in report.entries[0].pictures]
    assert sizes[0] == sizes[1] and 96 <= sizes[0][0] < 600
    assert sizes[0][0] / sizes[0][1] == pytest.approx(1.5, abs=0.02)


def test_more_pairs_than_expected_get_less_room_each():
    report = Report("Demo", {}, expected=1, max_bytes=100_000)
    for number in range(4):
        report.add(f"{number}.png", photo(0, 200, 300), photo(1, 200, 300))
    sizes = [sum(map(len, entry.pictures)) for entry in report.entries]
    assert sizes[0] > sizes[1] > sizes[3]


def test_report_keeps_no_full_pictures():
    report = Report("Demo", {}, expected=500)
    report.add("a.png", *[np.zeros((2000, 3000, 3), np.uint8)] * 3)
    assert max(Image.open(io.BytesIO(report.entries[0].pictures[0])).size) == 1600
    assert not any(isinstance(value, np.ndarray) for value in vars(report.entries[0]).values())


@pytest.mark.parametrize("wrong", [photo()[:40], photo().astype(np.float32), photo()[..., 0], np.dstack([photo()] * 2)])
def test_images_of_another_size_or_type_are_named(wrong):
    with pytest.raises(ValueError, match=r"a.png: images must be uint8\[h, w, 3\] of one size, not uint8\[48, 64, 3\]"):
        Report("Demo", {}).add("a.png", photo(), wrong)


def test_folder_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(InputError, match="report.html: cannot be written .No such file"):
        Report("Demo", {}).write(tmp_path / "missing" / "report.html")


def test_failure_leaves_the_older_report(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("older")
    report = Report("Demo", {})
    report.add("a.png", photo(), photo(1))
    report.entries.append(None)  # fails in the middle of the page
    with pytest.raises(AttributeError):
        report.write(target)
    assert target.read_text() == "older" and os.listdir(tmp_path) == ["report.html"]


def test_report_of_nothing_is_still_a_page(tmp_path):
    assert "0 images" in written(Report("Demo", {}), tmp_path / "report.html")


@pytest.mark.parametrize("gains", [[0.0], [1.0, 1.0], [-3.2, 0.0, 4.1], [-0.04, 0.03], [5.0] * 900 + [400.0]])
def test_bins_hold_every_gain_and_no_bin_crosses_zero(gains):
    step, first, counts = _bins(gains)
    assert sum(counts) == len(gains) and len(counts) <= 23
    for i, count in enumerate(counts):
        inside = sum((first + i) * step - 1e-6 <= gain < (first + i + 1) * step - 1e-6 for gain in gains)
        assert count == inside


def test_bars_of_the_histogram_are_as_high_as_their_counts():
    svg = histogram([-0.5, 0.2, 0.4, 0.6, 0.8, 1.5])
    heights = [float(value) for value in re.findall(r'class="bar[^"]*"[^>]* height="([\d.]+)"', svg)]
    titles = re.findall(r"<title>.*?: (\d+)</title>", svg)
    assert len(heights) == len(titles)
    assert np.allclose(np.array(heights) / heights[0], np.array(titles, float) / float(titles[0]), atol=0.01)
    assert svg.count("worse") == 1 and "mean +0.50 dB" in svg


def test_versions_name_what_decides_the_result():
    assert {"Python", "numpy", "pillow"} <= set(software_versions())


@pytest.mark.slow
def test_report_does_not_load_mindspore():
    code = "import sys, src.report.report, src.video.dehaze; sys.exit('mindspore' in sys.modules)"
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0

"""scripts/demo.py, the first program that a user runs."""
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from src.data.demo import demo_pairs
from src.data.images import read_image

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parent.parent / "scripts/demo.py"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo on cuts of two photos: its folder, and its output as {row: numbers}."""
    folder = tmp_path_factory.mktemp("demo")
    pairs = [(name, hazy[100:228, 100:260], clear[100:228, 100:260]) for name, hazy, clear in demo_pairs()[:2]]
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        script = runpy.run_path(str(SCRIPT))
        patch.setitem(script["main"].__globals__, "demo_pairs", lambda: pairs)
        patch.setitem(script["main"].__globals__, "print", lambda text, **_: lines.append(text))
        patch.setattr(sys, "argv", ["demo.py", "--output_dir", str(folder)])
        assert script["main"]() == 0
    rows = (line.split() for line in lines)
    return folder, {name: [float(number) for number in numbers] for name, *numbers in rows
                    if name in ("motorcycle", "astronaut", "mean")}


def test_the_shipped_weights_bring_the_photos_nearer_to_the_truth(demo):
    _, rows = demo
    assert rows["mean"][2] > rows["mean"][0] + 1
    np.testing.assert_allclose(rows["mean"], np.mean([rows["motorcycle"], rows["astronaut"]], 0), atol=0.006)


def test_pictures_and_report_are_written(demo):
    folder, _ = demo
    assert read_image(folder / "astronaut.png").shape == (128, 3 * 160, 3)
    height, width = read_image(folder / "overview.jpg").shape[:2]
    assert height == 3 * 190 and width == 2 * (round(160 * 190 / 128) + 4)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "motorcycle" in report and "astronaut" in report

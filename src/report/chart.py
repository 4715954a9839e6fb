"""Histogram of the report as inline SVG."""
from __future__ import annotations

import math
from typing import List, Sequence, Tuple

WIDTH, HEIGHT = 380, 200  # user units, about pixels on a phone
LEFT, RIGHT, TOP, BOTTOM = 30, 8, 24, 36  # margins for the axes
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # bin widths in dB
MOST_BINS = 22


def histogram(gains: Sequence[float]) -> str:
    """SVG of how many images gained how much PSNR. Needs at least one finite gain, in dB.

    The edges of the bins are whole multiples of the bin width, so 0 dB is always an edge. A bar never mixes images
    that became better with images that became worse.
    """
    step, first, counts = _bins(gains)
    slot = (WIDTH - LEFT - RIGHT) / len(counts)
    mean = sum(gains) / len(gains)
    mean_x = LEFT + (mean / step - first) * slot
    anchor = "end" if mean_x > WIDTH * 0.7 else "start"
    parts = _count_axis(max(counts))
    for i, count in enumerate(counts):
        x, height = LEFT + i * slot, _height(count, max(counts))
        low, high = (first + i) * step, (first + i + 1) * step
        if count:
            parts.append(
                f'<rect class="bar{" worse" if high <= 0 else ""}" x="{x + 1:.1f}" y="{HEIGHT - BOTTOM - height:.1f}" '
                f'width="{max(slot - 2, 1):.1f}" height="{height:.1f}" rx="2">'
                f"<title>{_tick(low)} to {_tick(high)} dB: {count}</title></rect>")
    every = math.ceil((len(counts) + 1) / 8)
    parts += [
        f'<text x="{LEFT + i * slot:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
        f"{_tick((first + i) * step)}</text>"
        for i in range(len(counts) + 1) if (first + i) % every == 0]
    parts.append(
        f'<line class="mean" x1="{mean_x:.1f}" x2="{mean_x:.1f}" y1="{TOP - 12}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="mean-label" x="{mean_x + (-6 if anchor == "end" else 6):.1f}" y="{TOP - 8}" '
        f'text-anchor="{anchor}">mean {signed(mean)} dB</text>'
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 2}" text-anchor="middle">PSNR gain in dB</text>')
    return (f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Histogram of PSNR gain: {len(gains)} images, '
            f'{signed(min(gains))} to {signed(max(gains))} dB, mean {signed(mean)} dB">{"".join(parts)}</svg>')


def signed(value: float, digits: int = 2) -> str:
    """The number with its sign, as +1.25 or \u22121.25 (a real minus sign)."""
    return f"{value:+.{digits}f}".replace("-", "\u2212").replace("inf", "\u221e")


def _tick(value: float) -> str:
    """The label of a bin's edge: at most six digits; zero has no sign."""
    return f"{round(value, 6):+g}".replace("-", "\u2212") if round(value, 6) else "0"


def _bins(gains: Sequence[float]) -> Tuple[float, int, List[int]]:
    """The bin width in dB, the low edge of the first bin in bin widths, and the counts."""
    low, high = min(gains), max(gains)
    step = next((step for step in STEPS if (high - low) / step <= MOST_BINS - 2), (high - low) / MOST_BINS + 1)
    places = [math.floor(gain / step + 1e-9) for gain in gains]
    first = min(places)
    counts = [0] * (max(places) - first + 1)
    for place in places:
        counts[place - first] += 1
    return step, first, counts


def _height(count: int, most: int) -> float:
    return count / most * (HEIGHT - TOP - BOTTOM)


def _count_axis(most: int) -> List[str]:
    """Grid lines at whole counts."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, most) if most / step <= 4.5)
    lines = []
    for count in range(0, most + 1, step):
        y = HEIGHT - BOTTOM - _height(count, most)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{count}</text>')
    return lines

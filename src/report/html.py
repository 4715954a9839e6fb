"""Fills page/page.html. Jinja2 escapes every text that comes from outside."""
from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

import jinja2
from markupsafe import Markup

from .chart import histogram, signed

FOLDER = Path(__file__).with_name("page")
HEADINGS = {"psnr_hazy": "PSNR hazy", "psnr": "PSNR", "psnr_gain": "PSNR gain",
            "ssim_hazy": "SSIM hazy", "ssim": "SSIM",
            "psnr_y_hazy": "PSNR hazy (Y)", "psnr_y": "PSNR (Y)", "ssim_y_hazy": "SSIM hazy (Y)", "ssim_y": "SSIM (Y)"}


@dataclass
class Entry:
    """One pair as the page shows it."""

    name: str
    size: Tuple[int, int]  # width, height of the originals in pixels
    pictures: Tuple[bytes, ...]  # WebP files: hazy, dehazed, and the ground truth if there is one
    scores: Dict[str, float]


def page(title: str, facts: Mapping[str, object], entries: Sequence[Entry]) -> Iterator[str]:
    """The text of the whole file, in pieces."""
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True,
                               lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    pages.filters.update(fact=_fact, number=_number, signed=signed, plural=_plural, javascript=_javascript,
                         base64=_base64)
    gains = [(gain, number) for number, gain in _finite(entries, "psnr_gain")]
    return pages.get_template("page.html").generate(
        title=title, facts=facts, entries=entries, HEADINGS=HEADINGS,
        style=_file("style.css"), slider=_file("slider.js"), script=_file("script.js"),
        means=[mean for mean in (_mean(entries, "psnr", " dB", 2), _mean(entries, "ssim", "", 4)) if mean],
        gains=sorted(gains, reverse=True), chart=Markup(histogram([gain for gain, _ in gains])) if gains else "",
        orders=_orders(entries), columns=list(dict.fromkeys(key for entry in entries for key in entry.scores)),
        nan=math.nan, has_truth=any(len(entry.pictures) > 2 for entry in entries))


def _file(name: str) -> Markup:
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _number(value: float, key: str) -> str:
    """The text of a score. Its name `key` decides the number of digits."""
    if math.isnan(value):
        return "\u2013"
    if key == "psnr_gain":
        return signed(value)
    if math.isinf(value):
        return signed(value).lstrip("+")
    return f"{value:.2f}" if key.startswith("psnr") else f"{value:.4f}" if key.startswith("ssim") else f"{value:.4g}"


def _fact(value: object) -> object:
    """A number with the four digits that a reader can use. Everything else is unchanged."""
    return f"{value:.4g}" if isinstance(value, float) else value


def _javascript(value: float) -> str:
    """The text of a number in JavaScript."""
    return repr(value).replace("inf", "Infinity").replace("nan", "NaN")


def _finite(entries: Sequence[Entry], key: str) -> List[Tuple[int, float]]:
    """(number of the entry, score) of every entry with a finite score of that name."""
    return [(number, entry.scores[key]) for number, entry in enumerate(entries)
            if math.isfinite(entry.scores.get(key, math.nan))]


def _mean(entries: Sequence[Entry], key: str, unit: str, digits: int) -> Dict[str, str]:
    """Heading, mean score and mean score of the hazy inputs. Empty if no entry has the score."""
    values = _finite(entries, key)
    if not values:
        return {}
    hazy = _finite([entries[number] for number, _ in values], f"{key}_hazy")
    before = f"{sum(value for _, value in hazy) / len(hazy):.{digits}f}{unit}" if len(hazy) == len(values) else ""
    return {"heading": f"{'Mean ' if len(values) > 1 else ''}{HEADINGS[key]}", "unit": unit, "before": before,
            "value": f"{sum(value for _, value in values) / len(values):.{digits}f}"}


def _orders(entries: Sequence[Entry]) -> List[Tuple[str, str]]:
    """Value and text of each order that a reader can choose. The page opens with the first."""
    orders = []
    if any("psnr_gain" in entry.scores for entry in entries):
        orders += [("gain down", "Largest gain first"), ("gain up", "Smallest gain first")]
    if any("psnr" in entry.scores for entry in entries):
        orders += [("psnr down", "Best PSNR first"), ("psnr up", "Worst PSNR first")]
    return orders + [("name up", "Name")] if orders else [("place up", "As given"), ("name up", "Name")]

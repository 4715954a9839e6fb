"""Markup of the report. Every text that comes from outside is escaped here."""
from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Sequence, Tuple

from .chart import histogram, signed

FOLDER = Path(__file__).with_name("page")
HEADINGS = {"psnr_hazy": "PSNR hazy", "psnr": "PSNR", "psnr_gain": "PSNR gain",
            "ssim_hazy": "SSIM hazy", "ssim": "SSIM",
            "psnr_y_hazy": "PSNR hazy (Y)", "psnr_y": "PSNR (Y)", "ssim_y_hazy": "SSIM hazy (Y)", "ssim_y": "SSIM (Y)"}


@dataclass
class Entry:
    """One pair, ready to be shown."""

    name: str
    size: Tuple[int, int]  # width, height of the originals in pixels
    pictures: Tuple[bytes, ...]  # WebP files: hazy, dehazed and perhaps the ground truth
    scores: Dict[str, float]


def page(title: str, facts: Mapping[str, object], entries: Sequence[Entry]) -> Iterator[str]:
    """The whole file in pieces: page.html with its @@places@@ filled."""
    fill = {
        "title": lambda: [escape(title)],
        "heading": lambda: ["Image" if len(entries) == 1 else "Images"],
        "lead": lambda: [_lead(facts, entries)],
        "style": lambda: [(FOLDER / "style.css").read_text(encoding="utf-8")],
        "script": lambda: [(FOLDER / "script.js").read_text(encoding="utf-8")],
        "summary": lambda: [_summary(entries)],
        "orders": lambda: [_orders(entries)],
        "truth_switch": lambda: [_truth_switch(entries)],
        "cards": lambda: (_card(number, entry) for number, entry in enumerate(entries)),
        "table": lambda: [_table(entries)],
        "facts": lambda: [_facts(facts)],
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    for i, part in enumerate(re.split(r"@@(\w+)@@", template)):
        yield from fill[part]() if i % 2 else [part]


def _lead(facts: Mapping[str, object], entries: Sequence[Entry]) -> str:
    checkpoint = facts.get("checkpoint")
    return _plural(len(entries), "image") + (f" \u00b7 {escape(str(checkpoint))}" if checkpoint else "")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _number(key: str, value: float) -> str:
    if math.isnan(value):
        return "\u2013"
    if key == "psnr_gain":
        return signed(value)
    if math.isinf(value):
        return signed(value).lstrip("+")
    return f"{value:.2f}" if key.startswith("psnr") else f"{value:.4f}" if key.startswith("ssim") else f"{value:.4g}"


def _values(entries: Sequence[Entry], key: str) -> List[float]:
    """The finite scores of that name."""
    return [entry.scores[key] for entry in entries if math.isfinite(entry.scores.get(key, math.nan))]


def _summary(entries: Sequence[Entry]) -> str:
    """Mean scores, the two extremes and the histogram; nothing where there are no scores."""
    tiles = [_mean_tile(entries, "psnr", " dB", 2), _mean_tile(entries, "ssim", "", 4)]
    gains = _values(entries, "psnr_gain")
    chart = ""
    if len(gains) > 1:
        tiles += _gain_tiles(entries, gains)
        chart = f'<div class="chart"><h3>How much the images gain</h3>{histogram(gains)}</div>'
    if not any(tiles):
        return ""
    return f'<section class="summary" aria-label="Summary"><div class="tiles">{"".join(tiles)}</div>{chart}</section>'


def _mean_tile(entries: Sequence[Entry], key: str, unit: str, digits: int) -> str:
    both = [entry for entry in entries if math.isfinite(entry.scores.get(key, math.nan))]
    if not both:
        return ""
    values, hazy = _values(both, key), _values(both, f"{key}_hazy")
    mean = sum(values) / len(values)
    before = f"from {sum(hazy) / len(hazy):.{digits}f}{unit} for the hazy input" if len(hazy) == len(values) else ""
    return (f'<div class="tile"><h3>{"Mean " if len(values) > 1 else ""}{HEADINGS[key]}</h3>'
            f"<b>{mean:.{digits}f}<small>{unit}</small></b><p>{before}</p></div>")


def _gain_tiles(entries: Sequence[Entry], gains: Sequence[float]) -> List[str]:
    worse = sum(gain < 0 for gain in gains)
    ranked = sorted((entry.scores["psnr_gain"], number) for number, entry in enumerate(entries)
                    if "psnr_gain" in entry.scores)
    links = "".join(
        f'<a href="#i{number}">{escape(entries[number].name)}</a><p>{signed(gain)} dB</p>'
        for gain, number in (ranked[-1], ranked[0]))
    return [
        f'<div class="tile"><h3>Improved</h3><b>{sum(gain > 0 for gain in gains)}<small> of {len(gains)}</small></b>'
        f'<p>{_plural(worse, "image") if worse else "no image"} lost PSNR</p></div>',
        f'<div class="tile"><h3>Best and worst</h3>{links}</div>']


def _orders(entries: Sequence[Entry]) -> str:
    """Options of the order control; the first is how the page opens."""
    options = []
    if any("psnr_gain" in entry.scores for entry in entries):
        options += [("gain down", "Largest gain first"), ("gain up", "Smallest gain first")]
    if any("psnr" in entry.scores for entry in entries):
        options += [("psnr down", "Best PSNR first"), ("psnr up", "Worst PSNR first")]
    options += [("name up", "Name")] if options else [("place up", "As given"), ("name up", "Name")]
    return "".join(f'<option value="{value}">{text}</option>' for value, text in options)


def _truth_switch(entries: Sequence[Entry]) -> str:
    if not any(len(entry.pictures) > 2 for entry in entries):
        return ""
    return ('<button type="button" class="button" id="truth-everywhere" aria-pressed="false">'
            "Ground truth for all</button>")


def _card(number: int, entry: Entry) -> str:
    name, (width, height) = escape(entry.name), entry.size
    data = "".join(f' data-{key.replace("psnr_", "")}="{_javascript(entry.scores[key])}"'
                   for key in ("psnr", "psnr_gain") if key in entry.scores)
    looks = (("dehazed", "dehazed", 1), ("left hazy", "hazy input", 0), ("left truth", "ground truth", 2))
    pictures = "".join(
        f'<img class="{look}" alt="{name}, {what}" width="{width}" height="{height}" loading="lazy" decoding="async" '
        f'draggable="false" src="data:image/webp;base64,{base64.b64encode(entry.pictures[i]).decode()}">'
        for look, what, i in looks if i < len(entry.pictures))
    truth = ""
    if len(entry.pictures) > 2:
        truth = '<button type="button" class="button truth-button" aria-pressed="false">Ground truth</button>'
    return f"""<figure class="card" id="i{number}" data-name="{name}" data-place="{number}"{data}>
<div class="frame" style="--ratio:{width / height:.4f}">{pictures}
<span class="label before">Hazy</span><span class="label after">Dehazed</span>
<div class="divider" role="slider" tabindex="0" aria-label="{name}: divider between before and after" \
aria-orientation="horizontal" aria-valuemin="0" aria-valuemax="100" aria-valuenow="50"></div></div>
<figcaption><div><h3 title="{name}">{name}</h3>{_score_line(entry)}</div><div class="tools">{truth}
<button type="button" class="button wide-button" aria-pressed="false" aria-label="Enlarge {name}">Enlarge</button></div>
</figcaption></figure>
"""


def _score_line(entry: Entry) -> str:
    """Before and after in words short enough for a card."""
    parts = []
    for key, unit in (("psnr", " dB"), ("ssim", "")):
        if key in entry.scores:
            before = entry.scores.get(f"{key}_hazy")
            arrow = "" if before is None else f"{_number(key, before)} \u2192 "
            gain = entry.scores.get("psnr_gain") if key == "psnr" else None
            sign = "" if gain is None else f' <b class="gain{" worse" if gain < 0 else ""}">{signed(gain)}</b>'
            parts.append(f"<span>{HEADINGS[key]} {arrow}{_number(key, entry.scores[key])}{unit}{sign}</span>")
    return f'<p class="scores">{"".join(parts)}</p>' if parts else ""


def _table(entries: Sequence[Entry]) -> str:
    keys = list(dict.fromkeys(key for entry in entries for key in entry.scores))
    if not keys:
        return ""
    heads = "".join(f'<th scope="col"><button type="button">{escape(HEADINGS.get(key, key))}</button></th>'
                    for key in keys)
    rows = "".join(_row(number, entry, keys) for number, entry in enumerate(entries))
    return f"""<section class="block" aria-labelledby="scores-title"><h2 id="scores-title">Scores</h2>
<div class="table" role="region" aria-labelledby="scores-title" tabindex="0"><table>
<thead><tr><th scope="col"><button type="button">Image</button></th>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div></section>"""


def _row(number: int, entry: Entry, keys: Sequence[str]) -> str:
    values = ((key, entry.scores.get(key, math.nan)) for key in keys)
    cells = "".join(f'<td data-value="{_javascript(value)}">{_number(key, value)}</td>' for key, value in values)
    name = escape(entry.name)
    return f'<tr><th scope="row" data-name="{name}"><a href="#i{number}">{name}</a></th>{cells}</tr>\n'


def _javascript(value: float) -> str:
    """A number as JavaScript reads it."""
    return repr(value).replace("inf", "Infinity").replace("nan", "NaN")


def _facts(facts: Mapping[str, object]) -> str:
    if not facts:
        return ""
    items = []
    for key, value in facts.items():
        text = escape(str(value))
        if key == "command":  # a line may end between words, not inside "--flag"
            text = "<code>" + " ".join(f"<span>{word}</span>" for word in text.split()) + "</code>"
        items.append(f"<dt>{escape(str(key))}</dt><dd>{text}</dd>")
    return f"""<section class="block" aria-labelledby="facts-title"><h2 id="facts-title">How this was made</h2>
<dl class="facts">{"".join(items)}</dl></section>"""

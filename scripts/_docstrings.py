"""How mkdocs reads this project's docstrings: `Returns: text` and `Raises: text` stand in one line with their text.

The parser of Google's style wants a block below these words. They become paragraphs of their own here.
"""
from __future__ import annotations

import re
from typing import Any

import griffe

SECTION = re.compile(r"^(Args and returns|Returns|Raises|Yields|Source): (.*(?:\n +\S.*)*)", re.MULTILINE)


class InlineSections(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = SECTION.sub(_paragraph, obj.docstring.value)


def _paragraph(match: re.Match[str]) -> str:
    """Keep the word, and join its text to one line, so that no line is indented."""
    return f"\n**{match[1]}:** {' '.join(match[2].split())}\n"

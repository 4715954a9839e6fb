"""Turns decoded frames into RGB as a player shows them, and RGB into the frames of an encoder, by FFmpeg's filters."""
from __future__ import annotations

import contextlib
import math
import struct
from fractions import Fraction
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

import av
import numpy as np
from av.filter import Graph

from .colours import MATRICES, RGB, Colours, sdr_table

EXACT = "bilinear+accurate_rnd+full_chroma_int"  # the usual flags make every value smaller by 1
Step = Tuple[str, Union[str, Dict[str, str]]]  # a filter and its options


class Turn(NamedTuple):
    """How a player turns a stored frame: a mirror at the diagonal from the top left, then left-right and up-down.

    Every quarter turn, with or without a mirror, is one of these eight. `rest` is what no quarter turn can do.
    """

    diagonal: bool = False
    left_right: bool = False
    upside_down: bool = False
    rest: float = 0.0  # degrees

    @property
    def filters(self) -> List[Step]:
        steps = (("transpose", "cclock_flip"), ("hflip", ""), ("vflip", ""))
        return [step for step, wanted in zip(steps, self) if wanted]


def turn_of(frame: av.VideoFrame) -> Turn:
    """The turn that the display matrix of the frame asks for. A phone stores it beside the frames."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Turn()
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(data))  # a stored point (x, y) is shown at (ax + cy, bx + dy)
    diagonal = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if diagonal else (a, d)
    angle = math.degrees(math.atan2(a, c) if diagonal else math.atan2(b, a))
    return Turn(diagonal, across < 0, down < 0, abs((angle + 45) % 90 - 45))


def is_transparent(frame: av.VideoFrame) -> bool:
    """Whether any pixel is not opaque."""
    if not any(component.is_alpha for component in frame.format.components):
        return False
    return bool((frame.to_ndarray(format="rgba")[..., 3] < 255).any())


class Upright:
    """Decoded frames -> uint8 RGB[height, width, 3], or RGBA, as a player shows them: one for each frame, in order.

    Args:
        size: (width, height) that all frames are scaled to before they are turned.
        cut: (width, height) of the result; what is beyond at the right and at the bottom is left out.
        deinterlace: FFmpeg's bwdif makes whole frames of those that are marked as interlaced.
        alpha: the result has four channels.
    """

    def __init__(self, colours: Colours, turn: Turn, size: Tuple[int, int], cut: Tuple[int, int], deinterlace: bool,
                 alpha: bool) -> None:
        self.colours, self.turn, self.size, self.cut = colours, turn, size, cut
        self.deinterlace, self.alpha = deinterlace, alpha
        self._graph: Optional[Graph] = None
        self._kind: Optional[tuple] = None

    def __call__(self, frames: Iterator[av.VideoFrame]) -> Iterator[np.ndarray]:
        self._graph = self._kind = None
        for number, frame in enumerate(frames):
            kind = frame.width, frame.height, frame.format.name
            if kind != self._kind:
                yield from self._pull(end=True)
                self._graph, self._kind = self._build(*kind), kind
            frame.time_base, frame.pts = Fraction(1, 25), number  # for bwdif; Clip has the true times
            self._graph.vpush(frame)
            yield from self._pull()
        yield from self._pull(end=True)

    def _pull(self, end: bool = False) -> Iterator[np.ndarray]:
        if self._graph is None:
            return
        if end:
            self._graph.vpush(None)
        with contextlib.suppress(BlockingIOError, av.error.EOFError):
            while True:
                yield self._graph.vpull().to_ndarray()

    def _build(self, width: int, height: int, pixels: str) -> Graph:
        kind = "rgba" if self.alpha else "rgb24"
        steps: List[Step] = [("bwdif", "mode=send_frame:deint=interlaced")] if self.deinterlace else []
        with contextlib.ExitStack() as files:
            if self.colours.is_hdr:
                table = files.enter_context(sdr_table(self.colours.curve))
                steps += [("scale", self._scale()), ("format", "gbrap16le" if self.alpha else "gbrp16le"),
                          ("lut3d", {"file": str(table), "interp": "tetrahedral"}), ("scale", f"flags={EXACT}")]
            else:
                steps += [("scale", self._scale())]
            steps += [("format", kind), *self.turn.filters, ("crop", "{}:{}:0:0".format(*self.cut)), ("format", kind)]
            return _graph(width, height, pixels, steps)

    def _scale(self) -> str:
        width, height = self.size
        matrix = "" if self.colours.matrix == RGB else f":in_color_matrix={MATRICES[self.colours.matrix]}"
        return f"{width}:{height}:flags={EXACT}:in_range={'full' if self.colours.full else 'limited'}{matrix}"


class Encodable:
    """uint8 RGB[h, w, 3] or RGBA[h, w, 4] -> frames with a brightness and two colour differences for an encoder."""

    def __init__(self, colours: Colours, width: int, height: int, alpha: bool) -> None:
        self.pixels = "yuva420p" if alpha else "yuv420p"
        self._kind = "rgba" if alpha else "rgb24"
        scale = f"flags={EXACT}:out_range=limited:out_color_matrix={MATRICES[colours.matrix]}"
        self._graph = _graph(width, height, self._kind, [("scale", scale), ("format", self.pixels)])

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        self._graph.vpush(av.VideoFrame.from_ndarray(image, self._kind))
        return self._graph.vpull()


def _graph(width: int, height: int, pixels: str, steps: List[Step]) -> Graph:
    graph = Graph()
    nodes = [graph.add_buffer(width=width, height=height, format=pixels, time_base=Fraction(1, 25))]
    for name, options in steps:
        nodes.append(graph.add(name, **options) if isinstance(options, dict) else graph.add(name, options or None))
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph

"""Small video files with stated properties, and what a player would show of a file."""
from fractions import Fraction

import av
import numpy as np

GREEN = (40, 200, 60)
KR_KB = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
         9: (0.2627, 0.0593)}


def planes(rgb, matrix, depth=8, full=False):
    """(brightness, blue difference, red difference) of a colour in 0..255 by the definition in ITU-T H.273."""
    red, green, blue = np.asarray(rgb, float) / 255
    kr, kb = KR_KB[matrix]
    bright = kr * red + (1 - kr - kb) * green + kb * blue
    differences = (blue - bright) / (2 - 2 * kb), (red - bright) / (2 - 2 * kr)
    unit, top = 2 ** (depth - 8), 2 ** depth - 1
    if full:
        return [round(top * bright), *(round(top * value) + 128 * unit for value in differences)]
    return [round(unit * (219 * bright + 16)), *(round(unit * (224 * value + 128)) for value in differences)]


def colour_of(values, matrix):
    """The inverse of `planes` for 8 bits and 16..235: R, G, B in 0..255."""
    bright, blue_difference, red_difference = (float(value) for value in values)
    kr, kb = KR_KB[matrix]
    bright, scale = (bright - 16) / 219, 2 / 224
    red = bright + scale * (1 - kr) * (red_difference - 128)
    blue = bright + scale * (1 - kb) * (blue_difference - 128)
    return np.array([red, (bright - kr * red - kb * blue) / (1 - kr - kb), blue]) * 255


def flat(values, width, height, pixels="yuv420p"):
    """A frame of one colour."""
    frame = av.VideoFrame(width, height, pixels)
    for plane, value in zip(frame.planes, values):
        kind = np.dtype("<u2") if "10" in pixels else np.dtype("u1")
        plane.update(np.full(plane.buffer_size // kind.itemsize, value, kind).tobytes())
    return frame


def picture(number, width=64, height=48):
    """A gradient, uint8 RGB, which is redder to the right, greener to the bottom and bluer with time."""
    across, down = np.meshgrid(np.linspace(40, 160, width), np.linspace(40, 160, height))
    return np.dstack([across, down, down * 0 + 40 + 5 * number % 200]).astype(np.uint8)


def write(path, frames, times=None, rate=25, codec=None, tags=(2, 2, 2, 0), options=None, tick=Fraction(1, 90000),
          prepare=None, last=None, pixels=None, container=None):
    """A video file of av.VideoFrames or uint8 arrays.

    Args:
        times: of the frames in seconds; None: by `rate`.
        tags: matrix, primaries, curve, range of ITU-T H.273; 2, 2, 2, 0: not stated.
        prepare: called with the open file before the first frame; what it returns is called before the end.
        last: how long the last frame is shown, in seconds.
        container: FFmpeg's name of it; None: by the suffix.
    """
    frames = [frame if isinstance(frame, av.VideoFrame) else av.VideoFrame.from_ndarray(frame, "rgb24")
              for frame in frames]
    times = [Fraction(number) / rate for number in range(len(frames))] if times is None else times
    with av.open(str(path), "w", format=container) as file:
        codec = codec or ("libvpx-vp9" if path.suffix == ".webm" else "libx264")
        stream = file.add_stream(codec, rate=rate, options=options or ({"bf": "0"} if codec == "libx264" else {}))
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt = pixels or (frames[0].format.name if frames[0].format.name != "rgb24" else "yuv420p")
        context = stream.codec_context
        context.time_base = tick
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = tags
        finish = prepare(file) if prepare else None
        for frame, time in zip(frames, times):
            frame.time_base, frame.pts = tick, round(time / tick)
            _mux(file, stream, frame, times, last, tick)
        _mux(file, stream, None, times, last, tick)
        if finish:
            finish()
    return path


def _mux(file, stream, frame, times, last, tick):
    for packet in stream.encode(frame):
        if last is not None and packet.pts == round(times[-1] / tick):
            packet.duration = round(last / tick)
        file.mux(packet)


def add_sound(file, seconds, layout="mono", codec="aac", start=0, rate=48000, **tags):
    """A sound track of a hum. For `prepare` of `write`: returns a function that writes it."""
    stream = file.add_stream(codec, rate=rate, layout=layout)
    stream.bit_rate = 64000
    stream.metadata.update(tags)

    def finish():
        channels = av.AudioLayout(layout).nb_channels
        hum = 0.3 * np.sin(np.arange(int(rate * seconds)) * 0.05, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(np.tile(hum, (channels, 1)), "fltp", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), rate * start
        file.mux(stream.encode(frame) + stream.encode(None))

    return finish


def decoded(path):
    """The frames of the first picture stream."""
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def shown(path):
    """The times of the frames in seconds."""
    return [float(frame.pts * frame.time_base) for frame in decoded(path)]


def middle(frame):
    """The three numbers in the middle of an 8-bit frame."""
    rows = [np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size) for plane in frame.planes]
    return [plane[plane.shape[0] // 2, width.width // 2] for plane, width in zip(rows, frame.planes)]


def tags_of(path):
    """matrix, primaries, curve, range."""
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        return context.colorspace, context.color_primaries, context.color_trc, context.color_range


def turn(path, a, b, c, d):
    """Write a display matrix into an MP4 file: a stored point (x, y) is shown at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    values = (a, b, 0, c, d, 0)
    data[place:place + 24] = b"".join(int(value * 65536).to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)
    return path

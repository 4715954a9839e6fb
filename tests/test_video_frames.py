"""A dehazed video shows the pictures that a player shows: turned, mirrored, whole, transparent, of one size."""
import av
import numpy as np
import pytest
from clips import add_sound, decoded, flat, picture, turn, write

from src.errors import InputError
from src.video.clip import read_frames
from src.video.dehaze import dehaze_video
from src.video.probe import probe


def same(image):
    return image


def first_image(path):
    return decoded(path)[0].to_ndarray(format="rgb24").astype(int)


@pytest.mark.parametrize("matrix, shown", [
    ((1, 0, 0, 1), lambda stored: stored),
    ((-1, 0, 0, 1), lambda stored: stored[:, ::-1]),  # the front camera of a phone
    ((1, 0, 0, -1), lambda stored: stored[::-1]),
    ((-1, 0, 0, -1), lambda stored: stored[::-1, ::-1]),
    ((0, 1, 1, 0), lambda stored: stored.swapaxes(0, 1)),
    ((0, 1, -1, 0), lambda stored: np.rot90(stored, -1)),  # a quarter turn clockwise
    ((0, -1, 1, 0), lambda stored: np.rot90(stored, 1)),
    ((0, -1, -1, 0), lambda stored: stored[::-1, ::-1].swapaxes(0, 1)),
])
def test_all_eight_turns_and_mirrors_come_out_as_a_player_shows_them(tmp_path, matrix, shown):
    source = write(tmp_path / "clip.mp4", [picture(0)] * 2)
    stored = first_image(source)
    turn(source, *matrix)
    stats = dehaze_video(source, tmp_path / "clear.mp4", same)
    expected = shown(stored)
    result = first_image(tmp_path / "clear.mp4")
    assert result.shape == expected.shape and (stats.height, stats.width) == expected.shape[:2]
    assert np.abs(result - expected).mean() < 3  # the gradients span 120 levels in both directions
    assert len(decoded(tmp_path / "clear.mp4")[0].side_data) <= 1  # no display matrix is left


def test_turn_that_is_no_quarter_turn_is_told(tmp_path):
    source = turn(write(tmp_path / "clip.mp4", [picture(0)] * 2), 0.866, 0.5, -0.5, 0.866)
    assert "turn: 30 degrees are left out, only quarter turns are made" in probe(source).notes


def test_shape_of_pixels_turns_with_the_frame(tmp_path):
    def wide(file):
        file.streams.video[0].codec_context.sample_aspect_ratio = 2

    source = turn(write(tmp_path / "clip.mp4", [picture(0)] * 2, prepare=wide), 0, 1, -1, 0)
    dehaze_video(source, tmp_path / "clear.mp4", same)
    with av.open(str(tmp_path / "clear.mp4")) as result:
        assert result.streams.video[0].sample_aspect_ratio == 0.5


def test_interlaced_video_is_made_whole_and_keeps_its_frames(tmp_path):
    """A bar moves by 8 pixels from field to field. Its comb has rows that differ from both neighbours."""
    def field(time):
        image = np.full((48, 64, 3), 30, np.uint8)
        image[:, 8 * time % 56:8 * time % 56 + 8] = 220
        return image

    frames = []
    for number in range(6):
        woven = field(2 * number)
        woven[1::2] = field(2 * number + 1)[1::2]
        frames.append(woven)

    def comb(path):
        rows = [image.to_ndarray(format="gray").astype(int) for image in decoded(path)[1:-1]]
        return np.mean([np.abs(2 * row[1:-1] - row[:-2] - row[2:]).mean() for row in rows])

    source = write(tmp_path / "clip.mp4", frames, options={"x264-params": "tff=1:qp=1:bframes=0"})
    assert comb(source) > 20
    stats = dehaze_video(source, tmp_path / "clear.mp4", same)
    assert stats.frames == len(decoded(tmp_path / "clear.mp4")) == 6
    assert comb(tmp_path / "clear.mp4") < 5
    assert "interlaced: the fields of 6 frames become whole frames (bwdif)" in stats.notes
    assert not decoded(tmp_path / "clear.mp4")[0].interlaced_frame


def transparent(tmp_path, suffix):
    image = np.dstack([picture(0), np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, 0)])
    frames = [av.VideoFrame.from_ndarray(image, "rgba") for _ in range(4)]
    if suffix == ".webm":
        return write(tmp_path / "clip.webm", frames, pixels="yuva420p")
    return write(tmp_path / f"clip{suffix}", frames, codec="qtrle", pixels="argb")


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_transparency_is_kept_in_webm(tmp_path, suffix):
    stats = dehaze_video(transparent(tmp_path, suffix), tmp_path / "clear.webm", same)
    with av.open(str(tmp_path / "clear.webm")) as result:
        decoder = av.CodecContext.create("libvpx-vp9", "r")  # FFmpeg's own drops transparency
        packets = list(result.demux(video=0))
        image = decoder.decode(packets[0])[0].to_ndarray(format="rgba")
        assert result.streams.video[0].metadata["alpha_mode"] == "1"
    assert np.abs(image[24, :, 3] - np.linspace(0, 255, 64)).max() < 12
    assert not [note for note in stats.notes if "transparency" in note]


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_transparency_that_the_result_cannot_hold_is_told_before_the_work(tmp_path, suffix):
    told = []

    def dehaze(image):
        assert told
        return image

    dehaze_video(transparent(tmp_path, suffix), tmp_path / "clear.mp4", dehaze, tell=told.append)
    assert "transparency: left out, .mp4 does not hold it; a result named .webm keeps it" in told


def test_frames_of_another_size_are_scaled_to_the_first_and_told(tmp_path):
    small = write(tmp_path / "a.ts", [picture(number) for number in range(5)])
    large = write(tmp_path / "b.ts", [picture(number, 128, 96) for number in range(5)],
                  times=[(5 + number) / 25 for number in range(5)])
    both = tmp_path / "clip.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    stats = dehaze_video(both, tmp_path / "clear.mp4", same)
    assert "size: changes within the film (128x96); all frames become 64x48" in stats.notes
    images = [frame.to_ndarray(format="rgb24").astype(int) for frame in decoded(tmp_path / "clear.mp4")]
    assert {image.shape for image in images} == {(48, 64, 3)} and len(images) == stats.frames >= 9
    assert np.abs(images[-1][..., :2] - picture(0)[..., :2]).mean() < 5  # scaled, not cropped


@pytest.mark.parametrize("pixels, codec", [
    ("gray", "ffv1"), ("gray10le", "ffv1"), ("yuv422p10le", "ffv1"), ("yuv444p", "ffv1"), ("yuv411p", "ffv1"),
    ("gbrp10le", "ffv1"), ("bgra", "ffv1"), ("rgb48be", "png"), ("monob", "png"), ("yuyv422", "rawvideo")])
def test_every_layout_of_pixels_is_read(tmp_path, pixels, codec):
    grey = np.repeat(picture(0)[..., :1], 3, axis=2) if pixels != "monob" else np.full((48, 64, 3), 255, np.uint8)
    frames = [av.VideoFrame.from_ndarray(grey, "rgb24").reformat(format=pixels) for _ in range(2)]
    source = write(tmp_path / f"clip{'.mov' if codec == 'png' else '.mkv'}", frames, codec=codec, pixels=pixels)
    seen = []
    stats = dehaze_video(source, tmp_path / "clear.mp4", lambda image: seen.append(image) or image)
    assert np.abs(seen[0].astype(int) - grey).mean() < 3
    assert not [note for note in stats.notes if "transparency" in note]  # that of bgra is opaque
    finer = pixels not in ("gray", "gray10le", "monob", "yuv411p")
    assert any("(4:2:0)" in note for note in stats.notes) == finer


@pytest.mark.parametrize("cover, message", [(False, "it holds no pictures"), (True, "it holds only a cover")])
def test_file_of_sound_is_named(tmp_path, cover, message):
    with av.open(str(tmp_path / "song.mp4"), "w") as file:
        finish = add_sound(file, 1)
        if cover:
            image = file.add_stream("mjpeg", rate=1)
            image.width, image.height, image.pix_fmt, image.disposition = 64, 48, "yuvj420p", 1024
            file.mux(image.encode(av.VideoFrame.from_ndarray(picture(0), "rgb24")) + image.encode())
        finish()
    with pytest.raises(InputError, match=f"song.mp4: is no video, {message}"):
        probe(tmp_path / "song.mp4")


def test_frames_can_be_read_twice(tmp_path):
    clip = probe(write(tmp_path / "clip.mp4", [picture(number) for number in range(3)]))
    assert np.array_equal(list(read_frames(clip)), list(read_frames(clip)))


def test_flat_frames_stay_flat(tmp_path):
    source = write(tmp_path / "clip.mp4", [flat((120, 110, 140), 64, 48)] * 3)
    seen = []
    dehaze_video(source, tmp_path / "clear.mp4", lambda image: seen.append(image) or image)
    assert np.ptp(seen[0].reshape(-1, 3), axis=0).max() <= 1

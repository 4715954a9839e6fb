"""Thousands of damaged files in one run: each is dehazed or named in one line, and all whole files are dehazed."""
import numpy as np
import pytest

from halving import HalvingNetwork
from mutated import odd_originals, originals, write_mutated
from src.cli import infer as script
from src.data.images import read_image
from src.data.sources import read_depth
from src.dehaze.dehazer import Dehazer
from src.errors import InputError

EACH = 140  # damaged copies of every plain original, half of it of the others: 3600 files

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.mark.slow
@pytest.mark.parametrize("wholes, same", ((originals, False), (odd_originals, True)), ids=("plain", "odd"))
def test_odd_photos_end_no_run(tmp_path, monkeypatch, capfd, wholes, same):
    (tmp_path / "in").mkdir()
    each = EACH if wholes is originals else EACH // 2
    odd, good = write_mutated(tmp_path / "in", each, wholes=wholes()), []
    for name, data in wholes().items():
        good.append(tmp_path / "in" / f"whole_{name.replace('.', '_')}{name[name.index('.'):]}")
        good[-1].write_bytes(data)
    assert len(odd) > 1000
    network = HalvingNetwork(tmp_path / "halving.ckpt")
    monkeypatch.setattr(script, "open_dehazer", lambda options: Dehazer(network=network))
    assert script.main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--max_pixels=250000",
                        *(["--format=same"] if same else ["--report"]), f"--ckpt_path={network.path}"]) == 1

    said = capfd.readouterr()
    results = {path: tmp_path / "out" / (path.name if same else f"{path.stem}.png") for path in odd + good}
    errors = [line for line in said.err.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    failed = [path for path, result in results.items() if not result.is_file()]
    assert "Traceback" not in said.err and not set(failed) & set(good)
    assert f" {len(failed)} of {len(odd + good)} " in errors[-1]
    assert sorted(line.split(": ")[1] for line in errors[:-1]) == sorted(map(str, failed))
    assert len(odd) / 10 < len(failed) < len(odd) * 9 / 10, "the damage is too small or too large to tell anything"
    for path in good:
        hazy, restored = read_image(path).astype(float), read_image(results[path])
        loss = 60 if path.suffix in (".jpg", ".avif", ".webp", ".gif") and same else 0.51  # of the encoder
        assert np.abs(restored - hazy / 2).max() <= loss, path.name


@pytest.mark.parametrize("error", (AttributeError, TypeError, ZeroDivisionError, MemoryError, RecursionError))
def test_whatever_a_decoder_raises_becomes_the_line_for_its_file(tmp_path, monkeypatch, error):
    (tmp_path / "a.png").write_bytes(originals()["rgb.png"])

    def fail(*_):
        raise error("deep inside")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(InputError, match="a.png: cannot be read as an image .deep inside"):
        read_image(tmp_path / "a.png")
    with pytest.raises(InputError, match="a.png: cannot be read as a depth map .deep inside"):
        read_depth(tmp_path / "a.png")

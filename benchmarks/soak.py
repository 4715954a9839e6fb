"""Long runs that look for what short tests cannot see: memory that grows, and a resumed training that is not the same.

    python benchmarks/soak.py infer --photos 500 --sizes 40
    python benchmarks/soak.py validate
    python benchmarks/soak.py train --minutes 120 --kill_after 180 -- --config configs/demo.yaml --epochs 100000

`infer` dehazes many photos in one process and compares its memory after the first fifty with the most that it had
later. `validate` shows the peak memory of a training that validates twenty sizes and a photo of 8 megapixels.

`train` kills a training again and again for --minutes (SIGKILL), at a random time of up to --kill_after seconds after
its next checkpoint, and resumes it. Then it trains as many steps without a kill. Both runs must end with the same
checkpoint, bit for bit, and with the same metrics.csv, without the speed. Exit code 1: they do not, or the memory is
too large.
"""
from __future__ import annotations

import argparse
import csv
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import psutil

import _clone
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.data.images import write_image
from src.errors import InputError
from src.network.checkpoint import load_checkpoint

WARM = 50  # photos after which memory should not grow
GROWTH = 1.1  # of the memory after WARM photos, at most
SMALLEST = 24  # pixels, the shorter side of the smallest photo
VALIDATED = [(2448, 3264), *((140 + 4 * number, 220 + 4 * number) for number in range(20))]  # heights and widths
VALIDATION_MB = 3000  # at most


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = parse(argv)
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        if options.kind == "infer":
            return soak_infer(Path(folder), options)
        if options.kind == "validate":
            return soak_validation(Path(folder), options)
        return soak_train(Path(folder), options)


def parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    infer = kinds.add_parser("infer")
    infer.add_argument("--photos", type=int, default=500, help="default: %(default)s")
    infer.add_argument("--sizes", type=int, default=40, help="different sizes (default: %(default)s)")
    train = kinds.add_parser("train")
    train.add_argument("--minutes", type=float, default=120, help="of kills (default: %(default)s)")
    train.add_argument("--kill_after", type=float, default=180, help="seconds at most (default: %(default)s)")
    train.add_argument("--script", default="train.py", help="default: %(default)s")
    for kind in (infer, kinds.add_parser("validate"), train):
        kind.add_argument("flags", nargs="*", help="flags of infer.py or train.py, behind --")
    return parser.parse_args(argv)


def soak_infer(folder: Path, options: argparse.Namespace) -> int:
    """Dehaze photos of noise. Print the memory (resident set, MB) as they are done."""
    rng = np.random.default_rng(0)
    (folder / "hazy").mkdir()
    for number in range(options.photos):
        short = SMALLEST + 2 * (number % options.sizes)
        write_image(folder / f"hazy/{number:05}.png", rng.integers(0, 256, (short, short + 24, 3), np.uint8))
    infer = subprocess.Popen(command("infer.py", str(folder / "hazy"), f"--output={folder / 'clear'}", *options.flags))
    process, seen = psutil.Process(infer.pid), []
    while infer.poll() is None:
        try:
            seen.append((sum(1 for _ in (folder / "clear").glob("*.png")), process.memory_info().rss / 1e6))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.2)
    if infer.wait():
        raise InputError(f"infer.py ended with exit code {infer.returncode}")
    before, after = memory_before_and_after(seen)
    print(f"{options.photos} photos of {options.sizes} sizes: at most {before:.0f} MB until photo {WARM}, "
          f"{after:.0f} MB later")
    return int(after > GROWTH * before)


def soak_validation(folder: Path, options: argparse.Namespace) -> int:
    """Train one epoch on pairs of noise and validate all of them. Print the peak memory of the process."""
    rng = np.random.default_rng(0)
    for kind in ("hazy", "clear"):
        (folder / kind).mkdir()
        for number, size in enumerate(VALIDATED):
            write_image(folder / kind / f"{number:02}.png", rng.integers(0, 256, (*size, 3), np.uint8))
    code = subprocess.call(command(
        "train.py", f"--dir_data={folder}", "--data_train=Pairs", "--data_test=Pairs", "--contra_lambda=0",
        "--patch_size=64", "--batch_size=8", "--epochs=1", f"--ckpt_save_path={folder / 'out'}", *options.flags))
    if code:
        raise InputError(f"train.py ended with exit code {code}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    print(f"validation of {len(VALIDATED) - 1} sizes and a photo of 8 megapixels: at most {peak:.0f} MB")
    return int(peak > VALIDATION_MB)


def memory_before_and_after(seen: List[Tuple[int, float]]) -> Tuple[float, float]:
    """The most memory up to and after photo WARM. `seen`: (photos done, memory) again and again."""
    early, late = ([memory for done, memory in seen if (done <= WARM) == first] for first in (True, False))
    if not late:
        raise InputError(f"more than {WARM} photos are needed to see memory grow")
    return max(early), max(late)


def soak_train(folder: Path, options: argparse.Namespace) -> int:
    """Train with kills, then as many steps without any. Returns: 1 if the two differ."""
    killed, quiet = folder / "killed", folder / "quiet"
    chance, kills, end = random.Random(0), 0, time.monotonic() + 60 * options.minutes
    while time.monotonic() < end:
        if train_until_killed(options, killed, chance.uniform(0, options.kill_after)):
            raise InputError(f"the run ended within --minutes {options.minutes:g}; more --epochs are needed")
        kills += 1
    steps = load_checkpoint(killed / "soak_last.ckpt")[1]["step"] + 1
    for run in ([*train_command(options, killed), "--resume"], train_command(options, quiet)):
        subprocess.run([*run, f"--max_steps={steps}"], check=True)
    same = contents(quiet) == contents(killed)
    print(f"{kills} kills in {options.minutes:g} minutes, {steps} steps; the resumed run "
          f"{'is' if same else 'is not'} bit for bit the undisturbed one")
    return int(not same)


def train_until_killed(options: argparse.Namespace, folder: Path, seconds: float) -> bool:
    """Start or resume the run, kill it `seconds` after its next checkpoint. Returns: whether it ended before that."""
    last, resume = folder / "soak_last.ckpt", []
    written = last.stat().st_mtime_ns if last.exists() else 0
    if written:
        resume = ["--resume"]
    run = subprocess.Popen([*train_command(options, folder), *resume])
    while run.poll() is None and (not last.exists() or last.stat().st_mtime_ns == written):
        time.sleep(0.1)
    try:
        code = run.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
        return False
    if code:
        raise InputError(f"{options.script} ended with exit code {code}")
    return True


def train_command(options: argparse.Namespace, folder: Path) -> List[str]:
    return command(options.script, *options.flags, f"--ckpt_save_path={folder}", "--filename=soak")


def command(script: str, *arguments: str) -> List[str]:
    return [sys.executable, str(_clone.ROOT / script), *arguments]


def contents(folder: Path) -> Tuple[Dict[str, bytes], List[Dict[str, str]]]:
    """What two runs must have in common: every value of the last checkpoint, and metrics.csv without the speed."""
    parameters, description = load_checkpoint(folder / "soak_last.ckpt")
    values = {name: parameter.asnumpy().tobytes() for name, parameter in parameters.items()}
    values.update({name: str(fact).encode() for name, fact in description.items()})
    with open(folder / "metrics.csv", newline="") as file:
        rows = [{name: text for name, text in row.items() if name != "images_per_s"} for row in csv.DictReader(file)]
    return values, rows


if __name__ == "__main__":
    run_as_program(main)

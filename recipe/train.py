"""Train AECR-Net on NYU photos with depth. RESIDE's recipe adds haze on the fly. Runs on CPU or CUDA.

    python -m recipe.train --data NYU --out RUN --hours 2.5 --init start.pth
    python -m recipe.train --data NYU --out RUN --hours 2.5 --resume
    python -m recipe.train --data NYU --out RUN --hours 5 --init start.pth --pairs nh_haze:Pairs:01-45 --real 0.6

The run writes ema.pth (weights for `scripts/convert_weights.py aecrnet`), state.pt (all that --resume needs) and
log.csv to --out. SIGTERM and Ctrl-C save and stop. On CPU, hours are processor time over threads, so a pause or
another job does not count. On CUDA they are hours of the clock.
"""
from __future__ import annotations

import argparse
import csv
import math
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Deque, Dict, Iterator, List, Optional, Tuple, Union

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recipe.batches import (
    TRAIN,
    VALIDATION,
    Batch,
    Batches,
    Photo,
    Shares,
    load_outdoors,
    load_scenes,
    parse_plan,
    stack,
    validation_pair,
)
from recipe.health import firing, revive, silent_share, trunk_state
from recipe.network import Dehaze, compiled_network
from recipe.optimizer import Optimizer
from recipe.real_pairs import RealPair, load_real_pairs, parse_pairs
from src.cli.config import Parser
from src.cli.entry import run_as_program
from src.convert.torch_weights import check, read_state
from src.distributed.signals import StopSignals
from src.errors import InputError, UsageError, one_line
from src.files import atomic_write, make_output_folder

COLUMNS = ("step", "minutes", "crops", "l1", "psnr", "real", "silent", "lr", "gain", "offset", "norm")
CROP = 240 * 240  # pixels of a counted crop, which is the paper's


def parse(argv: Optional[List[str]] = None) -> SimpleNamespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", required=True, help="folder with images/K.jpg and depths/K.png")
    add("--out", required=True, help="folder of the run")
    add("--hours", type=float, required=True, help="length of the run, resumptions included")
    add("--init", default="", help="weights to start from (.pth, the authors' names); empty: random weights")
    add("--resume", action="store_true", help="go on from state.pt in --out")
    add("--revive", action="store_true", help="draw channels of --init anew that hardly ever fire")
    add("--lr", type=float, default=3e-4, help="learning rate at its highest (default: 3e-4)")
    add("--warmup", type=int, default=100, help="steps in which it rises (default: 100)")
    add("--cooldown", type=float, default=0.3, help="share of the hours at whose end it has fallen to 0 (default: 0.3)")
    add("--muon", type=float, default=0.0, help="factor on the rate of the filters that Muon updates; 0: Adam for all")
    add("--clip", type=float, default=0.5, help="gradients are scaled down to this norm (default: 0.5)")
    add("--ema", type=float, default=0.998, help="decay of the running average of the weights (default: 0.998)")
    add("--pooled", type=float, default=0.5, help="weight of L1 of the means over 8 and 32 pixels (default: 0.5)")
    add("--fft", type=float, default=0.0, help="weight of L1 of the Fourier transforms (default: 0)")
    add("--squared", type=float, default=0.0, help="weight of the mean squared difference (default: 0)")
    add("--plan", default="0.35:1.0:192:3,0.35:0.5:192:3,0.3:0.3:128:6",
        help="batches, as share:scale of the photo:side in pixels:crops,...; share:0:side:1 are nearly whole photos "
             "with a longer side of SIDE (default: %(default)s)")
    share = Shares()
    add("--real", type=float, default=share.real, help="share of crops of --pairs (default: %(default)s)")
    add("--pairs", action="append", default=[], help="real pairs, FOLDER:LAYOUT or FOLDER:LAYOUT:NUMBERS, as "
        "nh_haze:Pairs:01-45,47; may be given several times")
    add("--validation_pairs", action="append", default=[], help="real pairs that are scored with each validation")
    add("--variety", type=float, default=share.variety,
        help="share of crops with the haze of haze_variety.py (default: %(default)s)")
    add("--clear", type=float, default=share.clear,
        help="share of crops without haze (default: %(default)s); all others have RESIDE's haze")
    add("--by_channel", type=float, default=share.by_channel,
        help="share of the varied haze whose channels differ (default: %(default)s)")
    add("--outdoors", action="append", default=[], help="outdoor photos for --variety: a folder of photos, or of "
        "images/ and depths/; may be given several times")
    add("--outdoor_share", type=float, default=share.outdoors,
        help="share of --outdoors in the varied haze (default: %(default)s)")
    add("--reside_outdoors", type=float, default=share.reside_outdoors,
        help="share of --outdoors without depth in RESIDE's haze (default: %(default)s)")
    add("--bright", type=float, default=share.bright,
        help="share of airlight 0.95 to 1 in RESIDE's haze (default: %(default)s)")
    add("--validate_minutes", type=float, default=20, help="between validations (default: 20)")
    add("--validation_images", type=int, default=25, help="of 50 whole photos (default: 25)")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--compile", action="store_true", help="compile the network with torch.compile")
    add("--threads", type=int, default=2, help="for the network (default: 2)")
    add("--loaders", type=int, default=1, help="processes that make batches (default: 1)")
    add("--seed", type=int, default=0)
    add("--max_steps", type=int, default=0, help="stop after this many steps all told; 0: at the end of the hours")
    options = SimpleNamespace(**vars(parser.parse_args(argv)))
    for name in ("hours", "lr", "clip"):
        if not 0 < getattr(options, name) < math.inf:
            raise UsageError(f"--{name} {getattr(options, name)}: must be above 0")
    for name in ("cooldown", "bright", "variety", "real", "clear", "by_channel", "outdoor_share", "reside_outdoors",
                 "ema"):
        if not 0 <= getattr(options, name) <= 1:
            raise UsageError(f"--{name} {getattr(options, name)}: must be from 0 to 1")
    if options.real + options.variety + options.clear > 1:
        raise UsageError(f"--real {options.real}, --variety {options.variety} and --clear {options.clear}: "
                         "must sum to at most 1")
    if (options.real > 0) != bool(options.pairs):
        raise UsageError(f"--real {options.real} with {len(options.pairs)} --pairs: one needs the other")
    if options.reside_outdoors and all((Path(folder) / "images").is_dir() for folder in options.outdoors):
        raise UsageError(f"--reside_outdoors {options.reside_outdoors}: needs --outdoors of photos without depth")
    for flag in ("--pairs", "--validation_pairs"):
        for folder in getattr(options, flag[2:]):
            parse_pairs(folder, flag)
    for name in ("threads", "loaders"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} {getattr(options, name)}: must be at least 1")
    if not 1 <= options.validation_images <= 50:
        raise UsageError(f"--validation_images {options.validation_images}: must be from 1 to 50")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no such device here")
    options.plan = parse_plan(options.plan)
    return options


def shares_of(options: SimpleNamespace) -> Shares:
    return Shares(options.real, options.variety, options.outdoor_share, options.bright, options.by_channel,
                  options.clear, options.reside_outdoors)


def main(argv: Optional[List[str]] = None) -> int:
    options = parse(argv)
    out = make_output_folder(options.out, "--out")
    cv2.setNumThreads(1)  # see Batches.loader
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True  # the plan has few shapes
    torch.manual_seed(options.seed)
    with StopSignals() as stop:
        training = Training(options, out)
        photos = load_scenes(options.data, TRAIN)
        if options.revive and not options.resume:
            training.revive(photos[::len(photos) // 12 or 1][:12])
        outdoors = [photo for folder in options.outdoors for photo in load_outdoors(folder)]
        pairs = [pair for folder in options.pairs for pair in load_real_pairs(folder)]
        validation = load_scenes(options.data, VALIDATION)[::50 // options.validation_images]
        real = [pair for folder in options.validation_pairs
                for pair in load_real_pairs(folder, "--validation_pairs")]
        batches = iter(Batches(photos, options.plan, shares_of(options), options.seed + training.step, outdoors, pairs)
                       .loader(options.loaders, options.device == "cuda"))
        kept = validated = time.monotonic()
        while not (training.is_over() or stop.requested):
            training.learn_from(batches)
            if time.monotonic() - kept > 300:
                training.keep()
                kept = time.monotonic()
            if time.monotonic() - validated > options.validate_minutes * 60:
                training.log(*validate(training.ema, validation, real))
                validated = time.monotonic()
            elif training.step % 50 == 0:
                training.log()
        training.keep()
        if not stop.requested:
            training.log(*validate(training.ema, validation, real))
    return 0


class Training:
    """Network, running average, optimizer and clock of a run."""

    def __init__(self, options: SimpleNamespace, out: Path):
        self.options, self.out = options, out
        self.net, self.ema = (Dehaze().to(options.device).to(memory_format=torch.channels_last) for _ in range(2))
        if options.init:
            self.net.load_state_dict(start_weights(options.init, self.net))
        self.ema.load_state_dict(self.net.state_dict())
        self.optimizer = Optimizer(self.net, options.muon)
        self.step, self.seconds, self.crops = 0, 0.0, 0.0
        self.l1 = self.norm = self.rate = math.nan
        self.restore = compiled_network(self.net) if options.compile else self.net
        self.lag = int(options.device == "cuda")  # steps after which a loss is read, so that the GPU need not wait
        self.unread: Deque[Tuple[int, Tensor, Tensor, List[str]]] = deque()  # step, L1, norm, photos
        if options.resume:
            self._load(out / "state.pt")
        elif (out / "state.pt").exists():
            raise UsageError(f"--out {out}: holds a run already; --resume continues it")

    @torch.no_grad()
    def revive(self, photos: List[Photo]) -> None:
        """Before the first step, draw new filters for channels that hardly ever fire on these photos."""
        with firing(self.net) as shares:
            for level, photo in enumerate(photos):
                self.net(as_floats(stack([validation_pair(photo, level % 10)[0]]), self.options.device))
        print(f"{revive(self.net, shares)} channels drawn anew", flush=True)
        self.ema.load_state_dict(self.net.state_dict())

    def is_over(self) -> bool:
        return self.seconds >= self.options.hours * 3600 or 0 < self.options.max_steps <= self.step

    def learning_rate(self) -> float:
        """The rate rises in the first steps and falls linearly to zero in the last part of the hours."""
        options = self.options
        left = 1 - self.seconds / (options.hours * 3600)
        falling = left / options.cooldown if options.cooldown else 1.0
        return options.lr * min(1.0, (self.step + 1) / options.warmup, max(falling, 0.01))

    def learn_from(self, batches: Iterator[Batch]) -> None:
        """One step. Raises: InputError naming the photos if the loss or a gradient is not finite."""
        began = self._clock()
        batch = next(batches)
        hazy, clear = (as_floats(images, self.options.device) for images in batch[:2])
        loss, l1 = loss_of(self.restore(hazy), clear, self.options.pooled, self.options.fft, self.options.squared)
        self.net.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.options.clip)
        self.unread.append((self.step + 1, l1.detach(), norm, batch.names))
        if len(self.unread) > self.lag:
            self._read(*self.unread.popleft())
        self.rate = self.learning_rate()
        self.optimizer.step(self.rate)
        self.step += 1
        decay = min(self.options.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.net.parameters()), 1 - decay)
        self.crops += hazy.shape[0] * hazy.shape[2] * hazy.shape[3] / CROP
        self.seconds += self._clock() - began
        self.last = hazy[:1]

    def _read(self, step: int, l1: Tensor, norm: Tensor, names: List[str]) -> None:
        self.norm, loss = norm.item(), l1.item()
        if not math.isfinite(self.norm + loss):
            kept = f"{self.out} holds what was kept before"
            if step > self.step:  # the weights have not taken the step
                self.keep()
                kept = f"step {self.step} is kept in {self.out}"
            raise InputError(f"loss {loss}, gradient {self.norm} in step {step}, photos "
                             f"{', '.join(sorted(set(names)))}; {kept}")
        self.l1 = loss if math.isnan(self.l1) else 0.98 * self.l1 + 0.02 * loss

    def _clock(self) -> float:
        if self.options.device == "cuda":
            return time.monotonic()
        return time.process_time() / self.options.threads

    def keep(self) -> None:
        """Write state.pt and ema.pth. Each file is written whole or not at all.

        Raises: InputError, without writing, if the loss or a gradient of a step was not finite.
        """
        while self.unread:
            self._read(*self.unread.popleft())
        state = {"net": self.net.state_dict(), "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(),
                 "step": self.step, "seconds": self.seconds, "crops": self.crops}
        weights = {name: value.cpu().contiguous() for name, value in self.ema.state_dict().items()}
        for name, value in (("state.pt", state), ("ema.pth", weights)):
            try:
                with atomic_write(self.out / name) as temporary:
                    torch.save(value, temporary)
            except (OSError, RuntimeError) as error:
                raise InputError(f"{self.out / name}: cannot be written ({one_line(error)})") from None

    def log(self, psnr: float = math.nan, real: float = math.nan, silent: float = math.nan) -> None:
        """Write a row to log.csv and to the terminal."""
        if not self.step:
            return
        trunk = trunk_state(self.net, self.last)
        row = (self.step, f"{self.seconds / 60:.1f}", f"{self.crops:.0f}", f"{self.l1:.5f}",
               *("" if math.isnan(value) else f"{value:.3f}" for value in (psnr, real, silent)),
               f"{self.rate:.2e}", f"{trunk['gain']:.3g}", f"{trunk['offset']:.3g}", f"{self.norm:.3g}")
        is_new = not (self.out / "log.csv").exists()
        with open(self.out / "log.csv", "a", newline="") as file:
            table = csv.writer(file)
            table.writerows([COLUMNS] * is_new + [row])
        print(*row, flush=True)

    def _load(self, path: Path) -> None:
        try:
            state: Dict[str, Any] = torch.load(path, weights_only=True, map_location=self.options.device)
            self.net.load_state_dict(state["net"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds, self.crops = state["step"], state["seconds"], state["crops"]
        except FileNotFoundError:
            raise UsageError(f"--resume: no {path}") from None
        except Exception as error:  # on foreign bytes the unpickler may raise any exception
            raise InputError(f"{path}: not the state of such a run, or damaged ({one_line(error)[:120]})") from None


def start_weights(path: str, net: Dehaze) -> Dict[str, Tensor]:
    """The weights in a file. Raises: InputError naming the file if they are not this network's, or not finite."""
    weights = read_state(path)
    check(weights, {name: tuple(value.shape) for name, value in net.state_dict().items()}, path, "AECR-Net (paper)")
    broken = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if broken:
        raise InputError(f"{path}: inf or nan in {', '.join(broken)}")
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def as_floats(images: Tensor, device: Union[str, torch.device]) -> Tensor:
    """uint8 -> float32 in 0..1, on the device."""
    return images.to(device, non_blocking=True).float() / 255


def loss_of(out: Tensor, clear: Tensor, pooled: float, fft: float, squared: float) -> tuple[Tensor, Tensor]:
    """(loss, L1). `pooled` adds L1 of the means over 8 and 32 pixels, because haze has low frequencies. `fft` adds L1
    of the Fourier transforms (Cho et al., MIMO-UNet, ICCV 2021), which weighs details far more than brightness.
    `squared` adds the mean squared difference, which weighs what dense smoke hides."""
    error = out - clear
    loss = l1 = error.abs().mean()
    if pooled:
        means = F.avg_pool2d(error, 8)
        loss = loss + pooled * means.abs().mean() + pooled * F.avg_pool2d(means, 4, ceil_mode=True).abs().mean()
    if fft:
        loss = loss + fft * torch.view_as_real(torch.fft.fft2(error)).abs().mean()
    if squared:
        loss = loss + squared * error.square().mean()
    return loss, l1


@torch.no_grad()
def validate(net: Dehaze, photos: List[Photo], pairs: List[RealPair]) -> tuple[float, float, float]:
    """Mean PSNR in dB of whole photos, which get the haze levels of SOTS in turn, and of real pairs (NaN without any);
    then the share of silent channels. Prints the mean of each folder of real pairs."""
    with firing(net) as shares:
        scores = [score(net, *validation_pair(photo, index % 10)) for index, photo in enumerate(photos)]
    real = {pair.name: score(net, pair.hazy, pair.clear) for pair in pairs}
    folders = sorted({name.split("/")[0] for name in real})
    means = {folder: np.mean([value for name, value in real.items() if name.startswith(f"{folder}/")])
             for folder in folders}
    print("SOTS", f"{np.mean(scores):.2f}", *(f"{folder} {mean:.2f}" for folder, mean in means.items()), flush=True)
    return float(np.mean(scores)), float(np.mean([*real.values()])) if real else math.nan, silent_share(shares)


def score(net: Dehaze, hazy: np.ndarray, clear: np.ndarray) -> float:
    """RGB PSNR in dB of a restored whole photo, rounded to 8 bits; both photos uint8[h, w, 3]."""
    height, width = (side - side % 4 for side in clear.shape[:2])
    device = next(net.parameters()).device
    inputs, truth = (as_floats(stack([image[:height, :width]]), device) for image in (hazy, clear))
    restored = torch.round(net(inputs).clamp(0, 1) * 255) / 255
    return -10 * math.log10(F.mse_loss(restored, truth).item())


if __name__ == "__main__":
    run_as_program(main)

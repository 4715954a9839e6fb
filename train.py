"""Train AECR-Net: L1 + contrastive regularization, as train_wcl.py of the model zoo, resumable at any step.

    python train.py --dir_data ./dataset --data_train RESIDE --vgg_ckpt_path ./
    python train.py --config configs/demo.yaml
    python train.py --config configs/demo.yaml --resume
"""
from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from tqdm import tqdm

from src import config, errors
from src.files import make_output_folder

SECTIONS = ("model", "device", "data", "validation", "train", "contrast", "checkpoint", "cloud")


def main(argv=None) -> int:
    options = config.parse(sys.argv[1:] if argv is None else argv, SECTIONS, __doc__.splitlines()[0])
    from src import device, modelarts  # slow imports, after the flags are known to be good

    if options.modelArts_mode:
        modelarts.download(options)
    ranks = device.init_device(options)
    folder = make_output_folder(options.ckpt_save_path, "--ckpt_save_path")
    run = Run(options, ranks)
    if run.writes:
        config.save(options, folder / f"{options.filename}.yaml")
    finished = run.train()
    if options.modelArts_mode and run.writes:
        modelarts.upload(options)
    return finished


class Run:
    """One training run: its parts, and the loop over steps."""

    def __init__(self, options, ranks):
        from src import build

        self.options, self.ranks, self.writes = options, ranks, ranks.rank == 0
        self.data = build.train_dataset(options, ranks)
        self.validation = build.validation_pairs(options)
        self.net = build.network(options)
        self.cell = build.train_cell(options, self.net, ranks)
        self.state = build.train_state(options, self.cell, self.net, ranks)
        self.steps_per_epoch = self.data.steps_per_epoch // options.accumulate
        self.total = options.epochs * self.steps_per_epoch
        self.stop_requested = False
        self.save_failed = False

    def train(self) -> int:
        """Train to the last step or until a signal. Returns the exit code."""
        from src.training_log import TrainingLog

        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._on_signal)
        self.log = TrainingLog(self.options.ckpt_save_path, self.state.step, self.options.summary_dir) \
            if self.writes else None
        end = min(self.total, self.options.max_steps or self.total)
        batches = self.data.batches(self.state.step * self.options.accumulate, end * self.options.accumulate)
        bar = tqdm(total=self.total, initial=self.state.step, unit="step", disable=not self.writes, dynamic_ncols=True)
        while self.state.step < end and not self.stop_requested:
            self._one_step(batches, bar)
            if self._is_due(self.options.test_every * self.steps_per_epoch) and self.validation:
                self._validate(bar)
            if self._is_due(self.options.save_every) or self._is_due(self.steps_per_epoch):
                self._save_last(bar)
        bar.close()
        return self._finish()

    def _one_step(self, batches, bar) -> None:
        from mindspore import Tensor, float32

        from src.optimizer import learning_rate

        started = time.perf_counter()
        rate = learning_rate(self.options, self.state.step, self.steps_per_epoch, self.total)
        for part in range(self.options.accumulate):
            hazy, clear = next(batches)
            apply = part == self.options.accumulate - 1
            loss, l1, cr, finite = self.cell(Tensor(hazy), Tensor(clear), Tensor(rate, float32), apply)
            self._check_finite(float(loss), bool(finite), part, bar)
        self.state.step += 1
        images = self.options.batch_size * self.options.accumulate * self.ranks.size
        values = dict(epoch=(self.state.step - 1) // self.steps_per_epoch + 1, loss=float(loss), l1=float(l1),
                      cr=float(cr), lr=rate, images_per_s=images / (time.perf_counter() - started))
        bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)
        bar.update()
        if self.writes and (self._is_due(self.options.log_every) or self.state.step == 1):
            self.log.add(self.state.step, **values)

    def _check_finite(self, loss: float, finite: bool, part: int, bar) -> None:
        """Stop on a broken loss; only pass over an overflow that the loss scale explains."""
        if loss - loss != 0:
            names = self.data.batch_names(self.state.step * self.options.accumulate + part)
            kept = self.state.last if self.state.last.is_file() else "none yet"
            raise errors.InputError(f"loss is {loss} in step {self.state.step + 1}, images {', '.join(names)}; "
                                    f"stopped, the last good checkpoint is {kept}")
        if not finite and self.options.loss_scale != 1.0:
            bar.write(f"step {self.state.step + 1}: gradients overflow at --loss_scale "
                      f"{self.options.loss_scale:g}, step skipped")

    def _is_due(self, interval: int) -> bool:
        return interval > 0 and self.state.step % interval == 0

    def _validate(self, bar) -> None:
        from src.validation import validate

        psnr, ssim = validate(self.net, self.state.evaluation_weights(), self.validation)
        if not self.writes:
            return
        bar.write(f"step {self.state.step}: validation PSNR {psnr:.2f} dB, SSIM {ssim:.4f}")
        self.log.add(self.state.step, val_psnr=psnr, val_ssim=ssim)
        if psnr > self.state.best_psnr:
            self._save(lambda: self.state.save_best(psnr), self.state.best, bar.write)

    def _save_last(self, bar) -> None:
        if self.writes and self.state.healthy():
            self._save(self.state.save_last, self.state.last, bar.write)
            self.log.draw()

    def _save(self, save, path: Path, say) -> None:
        try:
            save()
            self.save_failed = False
        except (OSError, RuntimeError) as error:
            self.save_failed = True
            say(f"warning: {path}: could not be saved ({errors.one_line(error)[:120]}); "
                f"the file before it is kept, training goes on")

    def _finish(self) -> int:
        if not self.writes:
            return 0
        if self.state.step % max(1, self.steps_per_epoch):
            self._save(self.state.save_last, self.state.last, print)
        self.log.draw()
        if self.state.step < self.total:
            print(f"stopped after step {self.state.step} of {self.total}; the same command with --resume goes on")
        return int(self.save_failed)

    def _on_signal(self, number, frame) -> None:
        self.stop_requested = True


if __name__ == "__main__":
    errors.run(main)

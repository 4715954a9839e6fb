"""Train AECR-Net: L1 + contrastive regularization, as train_wcl.py of the model zoo, resumable at any step.

    python train.py --dir_data ./dataset --data_train RESIDE --vgg_ckpt_path ./
    python train.py --config configs/demo.yaml
    python train.py --config configs/demo.yaml --resume

Exit code 0: trained to the end, or stopped by SIGINT or SIGTERM and saved. 1: bad data, a loss that
is inf or nan, or the state at the end could not be saved. 2: a bad option.
"""
from __future__ import annotations

import math
import os
import signal
import sys
from typing import Dict

from tqdm import tqdm

from src import config, errors, modelarts, train_options
from src.files import make_output_folder

SECTIONS = ("model", "device", "data", "validation", "train", "contrast", "checkpoint", "cloud")


def main(argv=None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    options = config.parse(argv, SECTIONS, __doc__.splitlines()[0])
    train_options.check(options)
    with StopSignals() as stop:
        if options.modelArts_mode:
            modelarts.download(options)
        if options.modelArts_mode and options.resume:
            modelarts.download_results(options)
        train_options.refuse_to_overwrite(options)
        make_output_folder(options.ckpt_save_path, "--ckpt_save_path")
        from src import device  # slow to import, after the options are known to be good

        ranks = device.init_device(options)
        try:
            code = train(options, ranks, stop)
        finally:
            if options.modelArts_mode and ranks.rank == 0:
                modelarts.upload(options)
    return code


def train(options, ranks, stop: StopSignals) -> int:
    """Train to the last step or until a signal. Returns the exit code."""
    from src import build
    from src.optimizer import learning_rate
    from src.training_log import TimedBatches, TrainingLog
    from src.validation import validate

    data = build.train_dataset(options, ranks)
    pairs = build.validation_pairs(options)
    net = build.network(options)
    cell = build.train_cell(options, net, ranks)
    state = build.train_state(options, cell, net, data, ranks)
    steps_per_epoch = build.steps_per_epoch(options, data)
    total = options.epochs * steps_per_epoch
    end = min(total, options.max_steps or total)
    if state.writes:
        train_options.save(options)

    batches = TimedBatches(data.batches(state.step * options.accumulate, end * options.accumulate),
                           options.batch_size * options.accumulate * ranks.size)
    with TrainingLog(options, state.step, total, state.writes) as log, batches:
        while state.step < end and not stop.requested:
            rate = learning_rate(options, state.step, steps_per_epoch, total)
            losses = optimizer_step(options, cell, batches, rate, data, state)
            state.step += 1
            log.add_step(state.step, epoch=(state.step - 1) // steps_per_epoch + 1, **losses, lr=rate,
                         images_per_s=batches.end_step())

            if pairs and is_due(state.step, options.test_every * steps_per_epoch, total):
                psnr, ssim = validate(net, state.evaluation_weights(), pairs)
                log.add_validation(state.step, psnr, ssim)
                state.save_best(psnr)
            if is_due(state.step, options.save_every, end) or is_due(state.step, steps_per_epoch, end):
                state.save_last()
                log.draw()
        state.save_last()
    if state.writes:
        print(batches.summary())
        print(last_words(options, state, total))
    return 0 if state.saved_step == state.step else 1  # of a rank that does not write they are the same


def optimizer_step(options, cell, batches, rate: float, data, state) -> Dict[str, float]:
    """One step from `--accumulate` batches. Returns: the means of loss, L1 and CR over them.

    Raises: InputError if the loss or, without a loss scale to explain it, a gradient is inf or nan.
    """
    from mindspore import Tensor, float32

    sums = [0.0, 0.0, 0.0]
    for part in range(options.accumulate):
        hazy, clear = next_batch(batches, state)
        is_last = part == options.accumulate - 1
        *losses, finite = cell(Tensor(hazy), Tensor(clear), Tensor(rate, float32), is_last)
        sums = [total + float(loss) for total, loss in zip(sums, losses)]
        skipped = not finite and options.loss_scale != 1
        if not math.isfinite(sum(sums)) or not (finite or skipped):
            names = ", ".join(data.batch_names(state.step * options.accumulate + part))
            raise errors.InputError(f"loss {float(losses[0])} with {'finite' if finite else 'inf or nan'} gradients in "
                                    f"step {state.step + 1}, images {names}; stopped, {state.last_good()}")
        if skipped and is_last and state.writes:
            tqdm.write(f"step {state.step + 1}: gradients overflow at --loss_scale {options.loss_scale:g}, "
                       f"step skipped")
    return dict(zip(("loss", "l1", "cr"), (total / options.accumulate for total in sums)))


def next_batch(batches, state):
    """The next batch. What was learnt so far is saved before an unreadable image ends the run."""
    try:
        return next(batches)
    except errors.UserError:
        state.save_last()
        raise


def is_due(step: int, interval: int, last: int) -> bool:
    """Whether something happens in this step that happens every `interval` steps (0: never) and in the last one."""
    return step == last or interval > 0 and step % interval == 0


def last_words(options, state, total: int) -> str:
    """How far the run came and how to go on."""
    if state.saved_step != state.step:
        return f"error: the state of step {state.step} is not saved; {state.last_good()}"
    if state.step == total:
        return f"finished: step {total} of {total}"
    if state.step == 0:
        return "stopped before the first step, nothing is saved"
    more = " and a larger --max_steps" if 0 < options.max_steps <= state.step else ""
    return f"stopped after step {state.step} of {total}; the same command with --resume{more} goes on"


class StopSignals:
    """Turns SIGINT and SIGTERM into a request to stop after the step in hand."""

    def __enter__(self) -> StopSignals:
        self.requested = False
        self._before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number, frame) -> None:
        self.requested = True
        os.write(2, b"\nstopping after this step\n")  # print is not safe here


if __name__ == "__main__":
    errors.run(main)

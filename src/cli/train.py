"""Train AECR-Net with L1 and the contrastive regularization. A run can be resumed at any step.

    python train.py --dir_data ./dataset --data_train RESIDE --vgg_ckpt_path ./
    python train.py --config configs/demo.yaml
    python train.py --config configs/demo.yaml --resume
    python train.py --dry_run --device_target Ascend --dir_data ./dataset --data_train RESIDE --vgg_ckpt_path ./

Exit codes. 0: the training reached its end, or SIGINT or SIGTERM stopped it and the state was saved. 1: the data are
bad, the loss is inf or nan, or the last state could not be saved. 2: an option is bad.
"""
from __future__ import annotations

import contextlib
import sys
from typing import Iterator

from ..distributed.signals import StopSignals
from ..files import lock_folder, make_output_folder
from . import cloud, config, train_options
from .entry import run_as_program

SECTIONS = ("model", "device", "data", "validation", "train", "contrast", "checkpoint", "cloud")


def main(argv=None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    options = config.parse(argv, SECTIONS, __doc__.splitlines()[0])
    train_options.check(options)
    if options.dry_run:
        from ..train.dry_run import dry_run

        return dry_run(options)
    with StopSignals() as stop:
        if options.modelArts_mode:
            cloud.download(options)
        if options.modelArts_mode and options.resume:
            cloud.download_results(options)
        train_options.refuse_to_overwrite(options)
        make_output_folder(options.ckpt_save_path, "--ckpt_save_path")
        from ..train import setup  # loads MindSpore, so the options are checked first

        ranks = setup.init_device(options)
        try:
            code = train_with_lock(options, ranks, stop)
        finally:
            if options.modelArts_mode and ranks.rank == 0:
                cloud.upload(options)
    return code


def train_with_lock(options, ranks, stop: StopSignals) -> int:
    """Call `train`. The process that writes to the folder locks it."""
    if ranks.rank > 0:
        return train(options, ranks, stop)
    with lock_folder(options.ckpt_save_path, "--ckpt_save_path"):
        train_options.refuse_to_overwrite(options)  # another run may have ended before the lock
        return train(options, ranks, stop)


def train(options, ranks, stop: StopSignals) -> int:
    """Train to the last step or until a signal. Returns: the exit code.

    Raises: the exception that ends the loop, after the last finished step is saved.
    """
    from ..train import setup
    from ..train.log import TimedBatches, TrainingLog
    from ..train.optimizer import learning_rate
    from ..train.step import optimizer_step
    from ..train.watch import TrunkWatch

    data = setup.train_dataset(options, ranks)
    net = setup.network(options)
    cell = setup.train_cell(options, net, ranks)
    state = setup.train_state(options, cell, net, data, ranks)
    validation = setup.validation(options, ranks)
    watch = TrunkWatch(options, net, data)
    steps_per_epoch = setup.steps_per_epoch(options, data)
    total = options.epochs * steps_per_epoch
    end = min(total, options.max_steps or total)
    if state.writes:
        train_options.save(options)

    batches = TimedBatches(data.batches(state.step * options.accumulate, end * options.accumulate),
                           options.batch_size * options.accumulate * ranks.size)
    with saved_on_failure(state), TrainingLog(options, state.step, total, state.writes) as log, batches:
        while (state.step < end or state.validation_due) and not ranks.any(stop.requested):
            if not state.validation_due:  # or it was interrupted
                rate = learning_rate(options, state.step, steps_per_epoch, total)
                losses = optimizer_step(options, cell, batches, rate, data, state, ranks)
                state.finish_step()
                speed = batches.end_step()
                trunk = watch.look(log, state.step) if log.has_row(state.step) else {}
                log.add_step(state.step, epoch=(state.step - 1) // steps_per_epoch + 1, **losses, lr=rate,
                             images_per_s=speed, **trunk)
                state.validation_due = bool(validation) and is_due(
                    state.step, options.test_every * steps_per_epoch, total)

            if state.validation_due and not validate(validation, state, log, stop):
                break
            if is_due(state.step, options.save_every, end) or is_due(state.step, steps_per_epoch, end):
                state.save_last()
                log.draw()
        state.save_last()
    if state.writes:
        print(batches.summary())
        print(last_words(options, state, total))
    return 0 if state.saved_step == state.step else 1  # on a rank that does not write, the two are equal


def validate(validation, state, log, stop: StopSignals) -> bool:
    """Validate the last step. Returns: whether that is done; a signal interrupts it."""
    scores = validation.score(state.evaluation_weights(), lambda: stop.requested)
    if scores is None:
        return False
    log.add_validation(state.step, *scores)
    state.save_best(scores[0])
    state.validation_due = False
    return True


@contextlib.contextmanager
def saved_on_failure(state) -> Iterator[None]:
    """Save the last finished step before an exception ends the run, except if saving raised the exception."""
    from ..train.state import NotFinite

    try:
        yield
    except NotFinite:
        raise
    except Exception:
        state.save_finished()
        if state.writes:
            print(f"stopped in step {state.step + 1}; {state.last_good()}")
        raise


def is_due(step: int, interval: int, last: int) -> bool:
    """Whether a step is due for an action of every `interval` steps (0: never), which the last step takes too."""
    return step == last or interval > 0 and step % interval == 0


def last_words(options, state, total: int) -> str:
    """The last line of the terminal: how far the run came, and how to go on."""
    if state.saved_step != state.step:
        return f"error: the state of step {state.step} is not saved; {state.last_good()}"
    if state.step == total and not state.validation_due:
        return f"finished: step {total} of {total}"
    if state.step == 0:
        return "stopped before the first step, nothing is saved"
    more = " and a larger --max_steps" if 0 < options.max_steps <= state.step else ""
    return f"stopped after step {state.step} of {total}; the same command with --resume{more} goes on"


def run() -> None:
    """train.py, and the installed command aecrnet-train."""
    run_as_program(main)

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
from ..train.schedule import Schedule
from . import cloud, config, train_options

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
        with cloud.Upload(options, options.modelArts_mode and ranks.rank == 0) as upload:
            return train_with_lock(options, ranks, stop, upload)


def train_with_lock(options, ranks, stop: StopSignals, upload: cloud.Upload) -> int:
    """Call `train`. The process that writes to the folder locks it."""
    if ranks.rank > 0:
        return train(options, ranks, stop, upload)
    with lock_folder(options.ckpt_save_path, "--ckpt_save_path"):
        train_options.refuse_to_overwrite(options)  # another run may have ended before the lock
        return train(options, ranks, stop, upload)


def train(options, ranks, stop: StopSignals, upload: cloud.Upload) -> int:
    """Train to the last step or until a signal. Returns: the exit code.

    Raises: the exception that ends the loop, after the last finished step is saved.
    """
    from ..train import setup, words
    from ..train.log import TimedBatches, TrainingLog
    from ..train.step import OptimizerSteps
    from ..train.watch import TrunkWatch

    data = setup.train_dataset(options, ranks)
    schedule = Schedule(options, data.steps_per_epoch)
    net = setup.network(options)
    cell = setup.train_cell(options, net, ranks)
    state = setup.train_state(options, cell, net, data, ranks)
    validation = setup.validation(options, ranks)
    watch = TrunkWatch(options, net, data)
    if validation and state.step == 0:
        state.expect_validation()
    if state.writes:
        train_options.save(options)
        print(words.about_data(options, data, schedule, ranks.size, validation.count if validation else 0))
        print(words.about_network(options, net))

    batches = TimedBatches(data.batches(state.step * options.accumulate, schedule.end * options.accumulate),
                           options.batch_size * options.accumulate * ranks.size)
    with saved_on_failure(state), TrainingLog(options, state.step, schedule.total, state.writes) as log, batches:
        steps = OptimizerSteps(options, cell, batches, data, state, ranks, stop)
        save_due = False
        while (state.step < schedule.end or state.progress.validation_due) and not steps.stopped:
            if not state.progress.validation_due:
                rate = schedule.rate(state.step)
                steps.take(rate)
                save_due = save_due or schedule.saves(state.step)
                row = {}
                if save_due or schedule.reads(state.step):
                    losses = steps.read()
                batches.end_step()
                if log.has_row(state.step):
                    row = {"epoch": schedule.epoch(state.step), **losses, "lr": rate, "images_per_s": batches.speed(),
                           **watch.look(log, state.step)}
                log.add_step(state.step, **row)
                if validation and schedule.validates(state.step):
                    state.expect_validation()

            if state.progress.validation_due and not validate(validation, state, log, stop):
                break
            if save_due and not steps.are_doubtful:
                state.save_last()
                log.draw()
                upload.request()
                save_due = False
        steps.finish()
        state.save_last()
    if state.writes:
        print(batches.summary())
        print(words.about_end(options, state, schedule))
    return 0 if state.is_saved else 1  # on a rank that does not write, it always is


def validate(validation, state, log, stop: StopSignals) -> bool:
    """Validate the last step. Returns: whether that is done; a signal interrupts it."""
    scores = validation.score(state.evaluation_weights(), lambda: stop.requested)
    if scores is None:
        return False
    psnr, ssim, health = scores
    log.add_validation(state.step, psnr, ssim, health)
    log.add_pictures(state.step, validation.samples)
    state.finish_validation(psnr, ssim)
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
        state.save_after_failure()
        if state.writes:
            print(f"stopped in step {state.step + 1}; {state.last_good()}")
        raise

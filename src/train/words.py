"""The first and the last lines of a training in the terminal."""
from __future__ import annotations

from types import SimpleNamespace

from ..data.dataset import TrainDataset
from ..network.aecrnet import Dehaze
from . import amp
from .schedule import Schedule
from .state import TrainState


def about_data(options: SimpleNamespace, data: TrainDataset, schedule: Schedule, ranks: int, validated: int) -> str:
    """One line: images, steps, validation images."""
    images = options.batch_size * options.accumulate * ranks
    steps = f"{data.steps_per_epoch / options.accumulate:.5g} steps an epoch, {schedule.total} steps of {images} in all"
    validation = f"{validated} validation images" if validated else \
        f"no validation (--data_test), so no {options.filename}_best.ckpt"
    return f"{data.items_per_epoch} training images, {steps}; {validation}"


def about_network(options: SimpleNamespace, net: Dehaze) -> str:
    """One line: weights, device, precision."""
    level = amp.level(options)
    precision = "float32" if level == "O0" else f"{level}, {options.amp_dtype}"
    weights = sum(weight.size for weight in net.trainable_params())
    return (f"{weights} weights of arch {options.arch} to train on {options.device_target}: {precision}, deformable "
            f"convolution {options.dcn_backend}")


def about_end(options: SimpleNamespace, state: TrainState, schedule: Schedule) -> str:
    """The last lines: the best score and its checkpoint, how far the run came, and how to go on."""
    skipped = f", {state.skipped} of the steps skipped (inf or nan)" if state.skipped else ""
    return "\n".join(filter(None, [_about_best(state), _about_progress(options, state, schedule) + skipped]))


def _about_best(state: TrainState) -> str:
    best = state.best
    if best.psnr < 0:
        return ""
    if best.step == 0:
        return f"no validation exceeded the PSNR of the start, {best.psnr:.2f} dB; the last weights are {state.last}"
    ssim = "" if best.ssim_step == best.step else f" (best SSIM {best.ssim:.4f} in step {best.ssim_step})"
    return f"best PSNR {best.psnr:.2f} dB in step {best.step}{ssim}: {state.best_file}"


def _about_progress(options: SimpleNamespace, state: TrainState, schedule: Schedule) -> str:
    if not state.is_saved:
        return f"error: the state of step {state.step} is not saved; {state.last_good()}"
    if state.step >= schedule.total and not state.progress.validation_due:
        return f"finished: step {state.step} of {schedule.total}: {state.last}"
    if state.step == 0:
        return "stopped before the first step, nothing is saved"
    more = " and a larger --max_steps" if 0 < options.max_steps <= state.step else ""
    return f"stopped after step {state.step} of {schedule.total}; the same command with --resume{more} goes on"

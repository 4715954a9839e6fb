"""Steps, epochs and learning rates of a run."""
import math
from types import SimpleNamespace

import pytest

from src.errors import UsageError
from src.train.schedule import Schedule


def schedule(batches=3, **changes):
    usual = dict(lr=2.0, lr_min=0.2, warmup_steps=0, lr_schedule="cosine", lr_step=2, epochs=7, accumulate=1,
                 max_steps=0, test_every=1, save_every=0, log_every=10)
    return Schedule(SimpleNamespace(**{**usual, **changes}), batches)


def rates(steps=20, **changes):
    """Learning rates of a run of 20 steps."""
    run = schedule(**{"batches": 10, "epochs": 2, **changes})
    return [run.rate(step) for step in range(steps)]


def test_cosine_goes_from_lr_to_lr_min_over_all_steps():
    assert rates() == pytest.approx([0.2 + 0.9 * (1 + math.cos(math.pi * step / 20)) for step in range(20)])
    assert rates(24)[20:] == pytest.approx([0.2] * 4)


def test_step_halves_every_lr_step_epochs():
    assert rates(batches=3, epochs=7, lr_schedule="step") == [2.0] * 6 + [1.0] * 6 + [0.5] * 6 + [0.25] * 2


def test_constant_stays():
    assert rates(lr_schedule="constant") == [2.0] * 20


@pytest.mark.parametrize("form", ["cosine", "constant", "step"])
def test_warmup_rises_to_lr_in_equal_steps(form):
    assert rates(5, lr_schedule=form, warmup_steps=4) == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])


def test_cosine_after_warmup_ends_at_lr_min_all_the_same():
    assert rates(21, warmup_steps=4)[12] == pytest.approx(1.1)
    assert rates(21, warmup_steps=4)[20] == pytest.approx(0.2)


def test_an_epoch_is_a_pass_over_all_images_whatever_accumulate_is():
    """Five batches do not make two steps of three. A step then ends in the next epoch."""
    for accumulate in (1, 2, 3, 5):
        run = schedule(batches=5, epochs=1000, accumulate=accumulate)
        assert run.total == 5000 // accumulate
        validated = [step for step in range(1, run.total + 1) if run.validates(step)]
        assert validated[:3] == [math.ceil(5 * epoch / accumulate) for epoch in (1, 2, 3)]
        assert [run.epochs_finished(step) for step in validated[:-1]][:20] == list(range(1, 21))
        assert run.epoch(run.total) == 1000
    halved = schedule(batches=5, accumulate=3, lr_schedule="step", lr_step=1, epochs=9)
    assert [halved.rate(step) for step in range(6)] == [2.0, 2.0, 1.0, 1.0, 0.5, 0.25]


def test_a_step_may_need_more_batches_than_an_epoch_but_not_more_than_the_run():
    assert [schedule(batches=5, accumulate=7).epoch(step) for step in (1, 2, 3)] == [1, 2, 3]
    assert schedule(batches=3, epochs=2, accumulate=6).total == 1
    with pytest.raises(UsageError, match="--accumulate must be at most the 6 batches of all epochs, not 7"):
        schedule(batches=3, epochs=2, accumulate=7)


def test_validations_and_saves_come_at_the_ends_of_epochs_and_at_the_end():
    run = schedule(batches=4, epochs=5, test_every=2, save_every=3, max_steps=11)
    assert [step for step in range(1, 21) if run.validates(step)] == [8, 16, 20]
    assert [step for step in range(1, 12) if run.saves(step)] == [3, 4, 6, 8, 9, 11]
    assert not schedule(test_every=0).validates(3) and schedule(test_every=0).validates(21)


def test_the_host_waits_for_the_device_at_rows_and_saves_alone():
    run = schedule(batches=25, epochs=10, log_every=10)
    assert [step for step in range(1, 51) if run.reads(step)] == [1, 10, 20, 25, 30, 40, 50]
    assert [step for step in range(1, 251) if schedule(batches=250, epochs=1, log_every=0).reads(step)] == [
        1, 100, 200, 250]

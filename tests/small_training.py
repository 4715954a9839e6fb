"""train.py with a SmallNet and slow steps, for tests of the whole program."""
import time

import training
from src.cli import train
from src.cli.entry import run_as_program
from src.train.log import TrainingLog

original = TrainingLog.add_step


def add_step(log, step, **values):
    original(log, step, **values)
    time.sleep(0.3)


TrainingLog.add_step = add_step
training.use_small_net()
run_as_program(train.main)

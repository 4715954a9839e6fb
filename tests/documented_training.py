"""train.py with small networks, for the shell scripts in tests/test_documented_commands.py.

    python documented_training.py train.py [flags]
"""
import sys

import distributed
from src.cli import train
from src.cli.entry import run_as_program
from src.train import setup

assert sys.argv.pop(1) == "train.py"
distributed.use_small_nets()
setup.load_vgg19 = lambda path: distributed.SmallVgg()
run_as_program(train.main)

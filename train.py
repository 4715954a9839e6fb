"""Train AECR-Net with L1 and the contrastive regularization. A run can be resumed at any step.

`python train.py --help` lists the options. The code is src/cli/train.py.
"""
from src.cli.entry import run_command

if __name__ == "__main__":
    run_command("train")

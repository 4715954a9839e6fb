"""Train AECR-Net: L1 + contrastive regularization, as train_wcl.py of the model zoo, resumable at any step.

`python train.py --help` lists the options. The code is src/commands/train.py.
"""
from src.commands.train import run

if __name__ == "__main__":
    run()

"""Score a checkpoint on hazy images with ground truth.

`python eval.py --help` lists the options. The code is src/cli/eval.py.
"""
from src.cli.entry import run_command

if __name__ == "__main__":
    run_command("eval")

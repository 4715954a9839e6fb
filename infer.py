"""Dehaze photos and videos.

`python infer.py --help` lists the options. The code is src/cli/infer.py.
"""
from src.cli.entry import run_command

if __name__ == "__main__":
    run_command("infer")

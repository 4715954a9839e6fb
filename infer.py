"""Dehaze photos and videos.

`python infer.py --help` lists the options. The code is src/cli/infer.py.
"""
from src.cli.infer import run

if __name__ == "__main__":
    run()

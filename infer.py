"""Dehaze photos and videos.

`python infer.py --help` lists the options. The code is src/commands/infer.py.
"""
from src.commands.infer import run

if __name__ == "__main__":
    run()

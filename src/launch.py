"""Moved to src/cli/launch.py. `python -m src.launch` works for one release, 0.2."""
from .cli.launch import run

if __name__ == "__main__":
    run()

"""Export a checkpoint as MINDIR, AIR or ONNX, and check what was exported.

`python export.py --help` lists the options. The code is src/cli/export.py.
"""
from src.cli.export import run

if __name__ == "__main__":
    run()

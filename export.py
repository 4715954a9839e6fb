"""Export a checkpoint as MINDIR, AIR or ONNX, and check what was exported.

`python export.py --help` lists the options. The code is src/cli/export.py.
"""
from src.cli.entry import run_command

if __name__ == "__main__":
    run_command("export")

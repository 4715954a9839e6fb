"""`import _clone` lets `python scripts/x.py` import src/ from a clone in which nothing is installed."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

"""After `import _clone`, `python benchmarks/x.py` can import src/ in a clone without an installation."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

"""The old paths of modules that moved. They work for one release, 0.2, with a DeprecationWarning."""
from __future__ import annotations

import importlib
import sys
import warnings


def stand_in(old: str, new: str) -> None:
    """Make the module `old`, which calls this, the same object as the module `new` of this package."""
    package = __name__.rpartition(".")[0]
    warnings.warn(f"{old} is now {package}.{new}; the old path goes with version 0.3", DeprecationWarning, stacklevel=3)
    sys.modules[old] = importlib.import_module(f"{package}.{new}")

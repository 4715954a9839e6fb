"""AECR-Net for MindSpore. `from aecrnet import Dehazer` is the Python API.

In a clone the package has the name of its folder: `from src import Dehazer`. Nothing here imports a framework.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dehaze.dehazer import Dehazer

__all__ = ["Dehazer"]


def __getattr__(name: str) -> Any:
    """Import Dehazer when it is asked for: `import aecrnet` costs nothing."""
    if name != "Dehazer":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from .dehaze.dehazer import Dehazer

    return Dehazer

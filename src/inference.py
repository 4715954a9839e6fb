"""Moved to src/dehaze/dehazer.py."""
from .moved import stand_in

stand_in(__name__, "dehaze.dehazer")

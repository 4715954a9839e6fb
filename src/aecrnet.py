"""Moved to src/network/aecrnet.py."""
from .moved import stand_in

stand_in(__name__, "network.aecrnet")

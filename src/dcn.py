"""Moved to src/network/dcn.py."""
from .moved import stand_in

stand_in(__name__, "network.dcn")

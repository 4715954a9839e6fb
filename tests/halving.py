"""A trivial network, for tests of the code around a network."""
import numpy as np


class HalvingNetwork:
    """Halves every value. Records the shapes that it sees and the shapes that are announced."""

    value_range = 255.0
    description = {"arch": "halving", "runtime": "numpy"}

    def __init__(self, path):
        self.path, self.seen, self.expected = path, [], {}
        path.write_bytes(b"halving")

    def expect(self, shape, calls):
        if calls:
            self.expected[shape] = self.expected.get(shape, 0) + calls

    def __call__(self, x):
        assert x.dtype == np.float32
        self.seen.append(x.shape)
        return x / 2

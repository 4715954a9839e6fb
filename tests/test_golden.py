"""The golden numbers are those of formulas and public definitions."""
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (requirements/convert.txt)")

from golden import make  # noqa: E402


@pytest.mark.slow
def test_the_golden_numbers_follow_from_their_definitions(golden_official):
    found = make.make()
    assert len(found) == 34 and found.keys() <= golden_official.keys()
    for name, value in found.items():
        assert make.difference(value, golden_official[name]) < 2e-6, name

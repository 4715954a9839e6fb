"""The golden numbers are those of formulas and public definitions."""
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (requirements/convert.txt)")

from golden import make  # noqa: E402

# Where the rounding of float32 shows more. The golden weights of the model zoo's network make offsets of thousands of
# pixels, and its sampling jumps at the border. Adam's first steps divide a gradient by its own size.
TOLERANCE = {"gitee": {"block6": 2e-5, "dcn1": 1e-3, "out": 2e-5, "netcr_l1": 1e-5}, "official": {"train3_": 1e-4}}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gitee", "official"])
def test_the_golden_numbers_follow_from_their_definitions(name, request):
    """All of them, but the random inputs of the deformable convolution."""
    held, found = request.getfixturevalue(f"golden_{name}"), getattr(make, f"make_{name}")()
    inputs = {f"dcn_{case}_{kind}" for case in make.CASES
              for kind in ("x", "offset", "weight", "bias", "mask", "grad_out", "stride", "padding", "dilation")}
    assert held.keys() - inputs == found.keys() and len(found) == {"gitee": 17, "official": 52}[name]
    for key, value in found.items():
        allowed = [limit for part, limit in TOLERANCE[name].items() if part in key and not key.startswith("dcn_")]
        assert value.shape == held[key].shape and make.difference(value, held[key]) < max([2e-6, *allowed]), key

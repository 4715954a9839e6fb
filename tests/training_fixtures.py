"""Fixtures of the tests of train.py. A module that uses them sets pytest_plugins = "training_fixtures"."""
import pytest
from outside_signals import end_the_tests_at_a_signal_from_outside  # noqa: F401

from src.cli import train
from training import flags, use_small_net, write_pairs


@pytest.fixture(scope="session")
def train_data(tmp_path_factory):
    """A folder with six pairs."""
    return write_pairs(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture
def small_net(monkeypatch):
    """train.py trains a SmallNet."""
    use_small_net(monkeypatch.setattr)


@pytest.fixture(scope="session")
def whole_run(train_data, tmp_path_factory):
    """Six steps of a SmallNet without a disturbance. Disturbed runs must end with the same state."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        use_small_net(patch.setattr)
        assert train.main(flags(train_data, folder)) == 0
    return folder

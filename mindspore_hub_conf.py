"""The entry of MindSpore Hub, as in every network of the model zoo."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from src.network.aecrnet import Dehaze


def create_network(name: str, *args: Any, **kwargs: Any) -> Dehaze:
    """The network without weights.

    Args:
        name: "aecrnet".
        args, kwargs: of `src.network.aecrnet.Dehaze`. The Hub's checkpoint of the model zoo needs arch="gitee" and
            dcn_sampling="gitee". The shipped checkpoints need arch="paper".

    Raises: NotImplementedError for another name.
    """
    if name != "aecrnet":
        raise NotImplementedError(f"{name}: this repository has the network aecrnet only")
    from src.network.aecrnet import Dehaze

    return Dehaze(*args, **kwargs)

"""Reads and writes PyTorch weight files without running code from them, and translates their names."""
from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from ..errors import InputError, one_line
from ..files import PathLike, atomic_write

Weights = Dict[str, np.ndarray]

NEEDS = "pip install -r requirements/convert.txt"
TORCH_SUFFIXES = (".pth", ".pt", ".pk", ".pkl", ".tar", ".bin")
# Counters of batch normalisation and profilers in a state dict.
NO_WEIGHTS = re.compile(r"(.*\.)?(num_batches_tracked|total_ops|total_params)")
# The two mixups have the numbers 4 and 5 in one version of the authors' code, 1 and 2 in another.
MIXUPS = {"mix4.w": "mix1.w", "mix5.w": "mix2.w"}
# torchvision's VGG19 beyond relu5_1
VGG19_SURPLUS = re.compile(r"features\.(30|32|34)\.(weight|bias)|classifier\.[036]\.(weight|bias)")


def aecrnet_names(state: Mapping[str, np.ndarray]) -> Weights:
    """The authors' state dict under the names of `Dehaze("paper")`.

    Either all names or none may start with `module.` (DataParallel). `mix4` and `mix5` become `mix1` and `mix2`.
    Counters are left out. Any other name stays, and the strict check finds it.
    """
    state = _without_counters(_without_module(state))
    renamed = not any(name in state for name in MIXUPS.values())
    return {MIXUPS.get(name, name) if renamed else name: value for name, value in state.items()}


def vgg19_names(state: Mapping[str, np.ndarray]) -> Weights:
    """torchvision's VGG19 state dict under the names of `Vgg19(has_bias=True)`, without the layers after relu5_1."""
    state = _without_counters(_without_module(state))
    return {
        re.sub(r"^features\.(\d+\.(weight|bias))$", r"layers.\1", name): value
        for name, value in state.items() if not VGG19_SURPLUS.fullmatch(name)
    }


def check(
    weights: Mapping[str, np.ndarray], shapes: Mapping[str, Tuple[int, ...]], path: PathLike, network: str,
) -> None:
    """Make sure that `weights` has exactly the parameters in `shapes`.

    Raises: InputError listing all parameters that are missing, left over or of another shape.
    """
    faults: List[str] = [f"missing {name}" for name in shapes if name not in weights]
    faults += [f"left over {name}" for name in weights if name not in shapes]
    faults += [
        f"{name} is {weights[name].shape}, not {shapes[name]}"
        for name in shapes if name in weights and weights[name].shape != shapes[name]
    ]
    if faults:
        raise InputError(f"{path}: not the weights of {network}: {'; '.join(faults)}")


def read_state(path: PathLike) -> Weights:
    """The state dict of a .safetensors file or of a PyTorch file, as float32 arrays.

    A PyTorch file may hold the state dict itself, or a training checkpoint with the state dict under `model`. It is
    read with weights_only=True, which refuses a file that wants to run code.

    Raises: InputError if the file is missing, damaged, refused or no state dict, or if the package that reads it is
        not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".ckpt":
        raise InputError(f"{path}: is a MindSpore checkpoint, not a PyTorch file; it is used as it is")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)


def write_state(path: PathLike, weights: Mapping[str, np.ndarray]) -> None:
    """Write a plain state dict as a .safetensors file, or with torch as a PyTorch file.

    Raises: InputError if torch or safetensors is not installed, or the file cannot be written.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file
        else:
            import torch
    except ImportError:
        raise InputError(f"{path}: writing it needs a package that is not installed: {NEEDS}") from None
    try:
        with atomic_write(path) as temporary:
            if path.suffix == ".safetensors":
                save_file(dict(weights), str(temporary))
            else:
                torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, temporary)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be written ({one_line(error)})") from None


def _read_safetensors(path: Path) -> Weights:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise InputError(f"{path}: reading a .safetensors file needs safetensors: {NEEDS}") from None
    try:
        return {name: np.array(value, np.float32) for name, value in load_file(str(path)).items()}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not a .safetensors file, or damaged ({one_line(error)[:120]})") from None


def _read_torch(path: Path) -> Weights:
    try:
        import torch
    except ImportError:
        raise InputError(f"{path}: reading a PyTorch file needs torch, as .safetensors does not: {NEEDS}") from None
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_scalars()):
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        why = f"it wants {wanted[1]} to be run" if wanted else "or it is damaged"
        raise InputError(f"{path}: refused, not a file of tensors alone ({why}); a file with code in it is never"
                         " read, save the network's state_dict()") from None
    except Exception as error:  # on foreign bytes the unpickler may raise any exception
        raise InputError(f"{path}: not a PyTorch file, or damaged ({one_line(error)[:120]})") from None
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise InputError(f"{path}: holds no state dict, neither by itself nor under `model`")
    strange = [str(name) for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise InputError(f"{path}: no state dict, entries that are no tensors: {', '.join(strange)}")
    return {str(name): value.detach().to_dense().float().numpy() for name, value in state.items()}


def _numpy_scalars() -> List[Any]:
    """The classes that weights_only must accept. The authors store numpy numbers (PSNR, SSIM) beside the weights."""
    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    kinds = {type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)}
    return [(scalar, name) for name in names] + [np.dtype, *kinds]


def _without_module(state: Mapping[str, np.ndarray]) -> Weights:
    """The weights without the prefix `module.`, which DataParallel puts before all names."""
    wrapped = all(name.startswith("module.") for name in state)
    return {name[len("module."):] if wrapped else name: value for name, value in state.items()}


def _without_counters(state: Mapping[str, np.ndarray]) -> Weights:
    return {name: value for name, value in state.items() if not NO_WEIGHTS.fullmatch(name)}

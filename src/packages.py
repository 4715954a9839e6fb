"""Packages that are not installed: the line that names what to install."""
from __future__ import annotations

import sys

INFER = 'onnxruntime numpy "opencv-python-headless<5" pillow pyyaml tifffile tqdm'
TRAIN = 'mindspore==2.8.0 "numpy<2" psutil scikit-image tensorboardX matplotlib'
# module -> what pip is told to install; the files in requirements/ are the whole lists
PIP = {
    **dict.fromkeys(("PIL", "cv2", "numpy", "onnxruntime", "tifffile", "tqdm", "yaml"), INFER),
    **dict.fromkeys(("matplotlib", "mindspore", "psutil", "tensorboardX"), TRAIN),
    **dict.fromkeys(("starlette", "uvicorn"), "starlette uvicorn"), **dict.fromkeys(("jinja2", "markupsafe"), "jinja2"),
    "pillow_heif": "pillow-heif", "rawpy": "rawpy",
    "av": "av", "onnx": "onnx", "openvino": "openvino", "skimage": "scikit-image",
}
LAST_PYTHON = (3, 12)  # for which MindSpore 2.8.0 has packages


def missing(module: str) -> str:
    """What to do about a module of PIP that cannot be imported because its package is not installed."""
    if PIP[module] == TRAIN and sys.version_info[:2] > LAST_PYTHON:
        return "needs MindSpore, which has packages for Python 3.9 to {}.{}, not for this {}.{}".format(
            *LAST_PYTHON, *sys.version_info[:2])
    name = "MindSpore" if module == "mindspore" else module
    return f"needs {name}, which is not installed; pip install {PIP[module]}"

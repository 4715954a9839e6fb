"""Recompute the golden numbers of official.npz from formulas and public definitions, without this project's code.

    python tests/golden/make.py              compares them with the file
    python tests/golden/make.py OUTPUT.npz   writes them

It covers the deformable convolution, FastDeconv (Ye et al. 2020, section 3, in float64), the contrastive loss (Wu et
al. 2021, eq. 3) and the measures. The deformable convolution is torchvision's `deform_conv2d` with autograd, or its
definition where torchvision is missing. The outputs of the whole networks are those of the originals.
`recipe/network.py` is a second implementation of the authors' network, and tests/test_recipe.py compares it with
them.

Needs torch and scikit-image.
"""
from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from golden.seeded import image, seeded  # noqa: E402

FILE = Path(__file__).with_name("official.npz")
CASES = ("k3", "asym", "nomask", "far")
VGG = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28,))  # convolutions between the poolings
CUTS = (0, 5, 10, 19, 28)  # convolutions whose ReLU gives the five maps
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
Numbers = Dict[str, np.ndarray]


def deformable(inputs: Numbers) -> Numbers:
    """Output and gradients of each case, from the inputs in the file, by torchvision if it is installed."""
    try:
        from torchvision.ops import deform_conv2d
    except ImportError:
        deform_conv2d = by_definition

    found = {}
    for case in CASES:
        held = {key[len(f"dcn_{case}_"):]: value for key, value in inputs.items() if key.startswith(f"dcn_{case}_")}
        tensors = {key: torch.tensor(held[key], requires_grad=True)
                   for key in ("x", "offset", "weight", "bias", "mask") if key in held}
        geometry = {key: tuple(int(value) for value in held[key]) for key in ("stride", "padding", "dilation")}
        out = deform_conv2d(tensors["x"], tensors["offset"], tensors["weight"], tensors["bias"],
                            mask=tensors.get("mask"), **geometry)
        out.backward(torch.tensor(held["grad_out"]))
        found[f"dcn_{case}_out"] = out.detach().numpy()
        found.update((f"dcn_{case}_grad_{key}", tensor.grad.numpy()) for key, tensor in tensors.items())
    return found


def by_definition(x, offset, weight, bias, stride, padding, dilation, mask=None):
    """Equation 1 of Zhu et al. 2019, with `grid_sample` for the bilinear samples, which are 0 outside the map."""
    n, _, height, width = x.shape
    kernel_h, kernel_w = weight.shape[2:]
    rows, columns = offset.shape[2:]
    out = bias.reshape(1, -1, 1, 1).expand(n, -1, rows, columns)
    for tap in range(kernel_h * kernel_w):
        i, j = divmod(tap, kernel_w)
        y = offset[:, 2 * tap] + (torch.arange(rows) * stride[0] - padding[0] + i * dilation[0])[:, None]
        x_at = offset[:, 2 * tap + 1] + torch.arange(columns) * stride[1] - padding[1] + j * dilation[1]
        grid = torch.stack([2 * x_at / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
        samples = functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        samples = samples if mask is None else samples * mask[:, tap:tap + 1]
        out = out + torch.einsum("nchw,oc->nohw", samples, weight[:, :, i, j])
    return out


def fast_deconv() -> Numbers:
    """A training step and an evaluation of FastDeconv(3, 3, 3, padding 1)."""
    weight = seeded("fastdeconv.weight", (3, 3, 3, 3)).astype(np.float64)
    bias = seeded("fastdeconv.bias", (3,)).astype(np.float64)
    x = image(20, (2, 3, 24, 30)).astype(np.float64)
    patches = _patches(x, stride=3)
    mean = patches.mean(0)
    covariance = (patches - mean).T @ (patches - mean) / len(patches) + 1e-5 * np.eye(27)
    norm = np.sqrt((covariance**2).sum())
    y, z = covariance / norm, np.eye(27)
    for _ in range(5):
        t = 0.5 * (3 * np.eye(27) - z @ y)
        y, z = y @ t, t @ z
    whitening = z / np.sqrt(norm)
    running_mean, running_deconv = 0.1 * mean, 0.9 * np.eye(27) + 0.1 * whitening
    return {"fastdeconv_train_out": _whitened(x, weight, bias, mean, whitening),
            "fastdeconv_running_mean": running_mean, "fastdeconv_running_deconv": running_deconv,
            "fastdeconv_eval_out": _whitened(image(21, (1, 3, 24, 30)).astype(np.float64), weight, bias, running_mean,
                                             running_deconv)}


def _patches(x: np.ndarray, stride: int) -> np.ndarray:
    """The 3x3 patches of the zero-padded images, [count, channels * 9]."""
    columns = functional.unfold(torch.tensor(x), 3, padding=1, stride=stride)
    return columns.transpose(1, 2).reshape(-1, columns.shape[1]).numpy()


def _whitened(x, weight, bias, mean, whitening) -> np.ndarray:
    """The kernel on each patch after mean and correlation are taken off."""
    values = (_patches(x, stride=1) - mean) @ whitening.T @ weight.reshape(3, 27).T + bias
    return values.reshape(len(x), *x.shape[2:], 3).transpose(0, 3, 1, 2)


def contrastive() -> Numbers:
    """CR of the authors' form, its gradient by the prediction, and the means of the clear image's maps."""
    pred, clear, hazy = (torch.tensor(image(seed, (2, 3, 64, 64))) for seed in (41, 40, 42))
    pred.requires_grad_(True)
    loss = 0.0
    for weight, of_pred, of_clear, of_hazy in zip(WEIGHTS, *map(_vgg_maps, (pred, clear, hazy))):
        loss = loss + weight * functional.l1_loss(of_pred, of_clear) / (functional.l1_loss(of_pred, of_hazy) + 1e-7)
    loss.backward()
    return {"cr_official": np.asarray(loss.item()), "cr_official_grad": pred.grad.numpy(),
            "cr_official_feat_means": np.array([float(one.mean()) for one in _vgg_maps(clear)])}


def _vgg_maps(x):
    """The maps relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""
    maps = []
    for level, layers in enumerate(VGG):
        x = functional.max_pool2d(x, 2) if level else x
        for layer in layers:
            shape = (64 * min(8, 2**level), x.shape[1], 3, 3)
            kernel, bias = (torch.tensor(seeded(f"vgg19.features.{layer}.{name}", size))
                            for name, size in (("weight", shape), ("bias", shape[:1])))
            x = functional.relu(functional.conv2d(x, kernel, bias, padding=1))
            maps += [x] if layer in CUTS else []
    return maps


def measures() -> Numbers:
    """PSNR and SSIM of the authors' code and of scikit-image."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    a = image(70, (1, 3, 40, 56))
    b = np.clip(a + np.random.RandomState(71).randn(*a.shape) * 0.05, 0, 1).astype(np.float32)
    first, second = (one[0].transpose(1, 2, 0).astype(np.float64) for one in (a, b))
    ssim = structural_similarity(first, second, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                 use_sample_covariance=False)
    psnr = peak_signal_noise_ratio(first, second, data_range=1.0)
    return {"metric_skimage_psnr": np.asarray(psnr), "metric_skimage_ssim": np.asarray(ssim),
            "metric_official_psnr": np.asarray(psnr), "metric_official_ssim": np.asarray(_ssim_of_whole(a, b))}


def _ssim_of_whole(a: np.ndarray, b: np.ndarray) -> float:
    """The mean of the SSIM map with zeros beyond the border."""
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = torch.tensor(np.outer(line, line) / line.sum() ** 2).expand(3, 1, 11, 11)

    def blur(values):
        return functional.conv2d(torch.tensor(values), window, padding=5, groups=3).numpy()

    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    return float(((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
                  / ((mean_a**2 + mean_b**2 + 1e-4) * (variances + 9e-4))).mean())


def make() -> Numbers:
    """All numbers by name."""
    return {**deformable(dict(np.load(FILE))), **fast_deconv(), **contrastive(), **measures()}


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference as a share of the largest expected value."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))


def main() -> None:
    found = make()
    if len(sys.argv) > 1:
        np.savez(sys.argv[1], **{name: value.astype(np.float32) for name, value in found.items()})
        return
    held = np.load(FILE)
    for name, value in found.items():
        print(f"{name:28} {difference(value, held[name]):.1e}")


if __name__ == "__main__":
    main()

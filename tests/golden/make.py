"""Recompute the golden numbers from formulas and public definitions, without this project's code.

    python tests/golden/make.py              compares them with gitee.npz and official.npz
    python tests/golden/make.py FOLDER       writes both files into this folder

networks.py has the networks. The deformable convolution is torchvision's `deform_conv2d` with autograd, or its
definition where torchvision is missing or does not fit to torch. FastDeconv's statistics (Ye et al. 2020, section 3)
are computed in float64, the rest in float32, as the originals did.

The cases of `dcn_*` in official.npz have random inputs, which are read from the file. The stages of the model zoo's
network are each computed from the stage before it in the file: with the golden weights, offsets reach thousands of
pixels, and the rounding of one machine's convolution would show in all later stages.

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
from golden.networks import (  # noqa: E402
    Stages,
    authors,
    deform_conv2d,
    model_zoo,
    patches_of,
    vgg_maps,
    vgg_shapes,
    whitening_of,
    zoo_deformable,
)
from golden.seeded import image, seeded  # noqa: E402

FOLDER = Path(__file__).parent
CASES = ("k3", "asym", "nomask", "far")
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of the five maps of VGG19
BLOCK = {"block.conv1": (256, 256, 3, 3), "block.conv2": (256, 256, 3, 3), "block.calayer.ca.0": (32, 256, 1, 1),
         "block.calayer.ca.2": (256, 32, 1, 1), "block.palayer.pa.0": (32, 256, 1, 1),
         "block.palayer.pa.2": (1, 32, 1, 1), "deconv": (3, 3, 3, 3), "down2.0": (128, 64, 3, 3),
         "down3.0": (256, 128, 3, 3), "up1.0": (256, 128, 3, 3), "up2.0": (128, 64, 3, 3)}
ZOO = {**BLOCK, "down1.0": (64, 3, 7, 7), "up3.0": (3, 64, 7, 7)}
ZOO_DCN = {"p_conv": (18, 256, 3, 3), "m_conv": (9, 256, 3, 3), "conv": (256, 256, 3, 3)}
AUTHORS = {**BLOCK, "down1.1": (64, 3, 7, 7), "up3.1": (3, 64, 7, 7), "dcn_block.dcn": (256, 256, 3, 3),
           "dcn_block.dcn.conv_offset_mask": (27, 256, 3, 3)}
TRAINED = ("down1.1.weight", "block.conv1.weight", "dcn_block.dcn.weight", "dcn_block.dcn.conv_offset_mask.weight",
           "mix1.w", "deconv.weight", "up3.1.bias")
Numbers = Dict[str, np.ndarray]


# Weights

def with_biases(shapes) -> Dict[str, tuple]:
    """Add a bias to each convolution. Those that enlarge have their channels in the other order."""
    found = {}
    for name, shape in shapes.items():
        found[f"{name}.weight"] = shape
        found[f"{name}.bias"] = (shape[1] if name in ("up1.0", "up2.0") else shape[0],)
    return found


def drawn(shapes, gain: float = 1.0, offset_gain: float = 1.0) -> Dict[str, torch.Tensor]:
    """The seeded weights of these shapes. Convolutions that give offsets have a gain of their own."""
    return {name: torch.tensor(seeded(name, shape, offset_gain if "offset" in name or "p_conv" in name else gain))
            for name, shape in shapes.items()}


def zoo_weights() -> Dict[str, torch.Tensor]:
    dcn = {f"dcn_block.{name}.weight": shape for name, shape in ZOO_DCN.items()}
    return {**drawn({**with_biases(ZOO), **dcn}, 0.5, 3.0), "mix4.w": torch.tensor(-1.0), "mix5.w": torch.tensor(-0.6)}


def authors_weights() -> Dict[str, torch.Tensor]:
    return {**drawn(with_biases(AUTHORS), 0.7), "mix1.w": torch.tensor([-1.0]), "mix2.w": torch.tensor([-0.6])}


# official.npz

def deformable(inputs: Numbers) -> Numbers:
    """Output and gradients of each case, from the inputs in the file."""
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


def fast_deconv() -> Numbers:
    """A training step and an evaluation of FastDeconv(3, 3, 3, padding 1)."""
    weight = seeded("fastdeconv.weight", (3, 3, 3, 3)).astype(np.float64)
    bias = seeded("fastdeconv.bias", (3,)).astype(np.float64)
    x = image(20, (2, 3, 24, 30)).astype(np.float64)
    mean, whitening = whitening_of(patches_of(x, stride=3))
    running_mean, running_deconv = averaged(mean, whitening)
    return {"fastdeconv_train_out": _whitened(x, weight, bias, mean, whitening),
            "fastdeconv_running_mean": running_mean, "fastdeconv_running_deconv": running_deconv,
            "fastdeconv_eval_out": _whitened(image(21, (1, 3, 24, 30)).astype(np.float64), weight, bias, running_mean,
                                             running_deconv)}


def averaged(mean: np.ndarray, whitening: np.ndarray):
    """The running averages after one step from zero and the identity."""
    return 0.1 * mean, 0.9 * np.eye(len(mean)) + 0.1 * whitening


def _whitened(x, weight, bias, mean, whitening) -> np.ndarray:
    """The kernel on each patch after mean and correlation are taken off."""
    values = (patches_of(x, stride=1) - mean) @ whitening.T @ weight.reshape(3, 27).T + bias
    return values.reshape(len(x), *x.shape[2:], 3).transpose(0, 3, 1, 2)


def authors_outputs() -> Numbers:
    """The statistics after one training forward, then all stages of two evaluations."""
    running = averaged(*whitening_of(patches_of(image(30, (2, 3, 64, 64)).astype(np.float64), stride=3)))
    found = {"dehaze_running_mean": running[0], "dehaze_running_deconv": running[1]}
    for case, seed, size in (("sq", 31, (64, 64)), ("rect", 32, (48, 80))):
        with torch.no_grad():
            stages = authors(torch.tensor(image(seed, (1, 3, *size))), authors_weights(), *_tensors(*running))
        found.update((f"dehaze_{case}_{name}", value.numpy()) for name, value in stages._asdict().items())
    return found


def three_steps() -> Numbers:
    """Three Adam steps of L1 + 0.1 CR, with the statistics of each batch."""
    weights = {name: value.requires_grad_() for name, value in authors_weights().items()}
    vgg = drawn(vgg_shapes("vgg19.features", has_bias=True))
    optimizer = torch.optim.Adam(weights.values(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8)
    losses = []
    for index in range(3):
        hazy, clear = (image(seed + index, (2, 3, 48, 48)) for seed in (50, 60))
        statistics = whitening_of(patches_of(hazy.astype(np.float64), stride=3))
        hazy, clear = torch.tensor(hazy), torch.tensor(clear)
        out = authors(hazy, weights, *_tensors(*statistics)).out
        l1, cr = functional.l1_loss(out, clear), authors_contrast(out, clear, hazy, vgg)
        losses.append([l1.item(), cr.item(), (l1 + 0.1 * cr).item()])
        optimizer.zero_grad()
        (l1 + 0.1 * cr).backward()
        optimizer.step()
    return {"train3_losses": np.array(losses),
            **{f"train3_{name}": weights[name].detach().numpy().ravel()[:64] for name in TRAINED}}


def _tensors(*arrays):
    return [torch.tensor(array, dtype=torch.float32) for array in arrays]


def authors_contrast(pred, clear, hazy, vgg):
    """Equation 3 of Wu et al. 2021, with the image's own hazy one as the negative."""
    loss = 0.0
    for weight, near, positive, negative in zip(WEIGHTS, *(vgg_maps(x, vgg, "vgg19.features")
                                                           for x in (pred, clear, hazy))):
        loss = loss + weight * functional.l1_loss(near, positive) / (functional.l1_loss(near, negative) + 1e-7)
    return loss


def contrastive() -> Numbers:
    """CR of the authors' form, its gradient by the prediction, and the means of the clear image's maps."""
    pred, clear, hazy = (torch.tensor(image(seed, (2, 3, 64, 64))) for seed in (41, 40, 42))
    vgg = drawn(vgg_shapes("vgg19.features", has_bias=True))
    loss = authors_contrast(pred.requires_grad_(True), clear, hazy, vgg)
    loss.backward()
    return {"cr_official": np.asarray(loss.item()), "cr_official_grad": pred.grad.numpy(),
            "cr_official_feat_means": _means(clear, vgg, "vgg19.features")}


def _means(x, vgg, name) -> np.ndarray:
    return np.array([float(one.mean()) for one in vgg_maps(x, vgg, name)])


def measures() -> Numbers:
    """PSNR and SSIM of the authors' code and of scikit-image."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    a = image(70, (1, 3, 40, 56))
    b = np.clip(a + np.random.RandomState(71).randn(*a.shape) * 0.05, 0, 1).astype(np.float32)
    first, second = (one[0].transpose(1, 2, 0).astype(np.float64) for one in (a, b))
    ssim = structural_similarity(first, second, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5,
                                 use_sample_covariance=False)
    psnr = peak_signal_noise_ratio(first, second, data_range=1.0)
    whole = ssim_map(a.astype(np.float64), b.astype(np.float64), peak=1, padding=5).mean()
    return {"metric_skimage_psnr": np.asarray(psnr), "metric_skimage_ssim": np.asarray(ssim),
            "metric_official_psnr": np.asarray(psnr), "metric_official_ssim": np.asarray(whole)}


def ssim_map(a: np.ndarray, b: np.ndarray, peak: float, padding: int) -> np.ndarray:
    """Equation 13 of Wang et al. 2004, window of 11 px, sigma 1.5. With `padding` 5 zeros lie beyond the border."""
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    channels = a.shape[1]
    window = torch.tensor(np.outer(line, line) / line.sum() ** 2).expand(channels, 1, 11, 11)

    def blur(values):
        return functional.conv2d(torch.tensor(values), window, padding=padding, groups=channels).numpy()

    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    low, high = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    return ((2 * mean_a * mean_b + low) * (2 * covariance + high)
            / ((mean_a**2 + mean_b**2 + low) * (variances + high)))


# gitee.npz

def zoo_outputs(held: Numbers) -> Numbers:
    """The stages of two images, and the deformable convolution alone on a square and on a wide map."""
    found = {}
    for case, seed, size in (("sq", 1, (64, 64)), ("rect", 2, (48, 80))):
        given = Stages(*(torch.tensor(held[f"dehaze_{case}_{name}"]) for name in Stages._fields))
        stages = model_zoo(torch.tensor(image(seed, (1, 3, *size), 255)), zoo_weights(), given)
        found.update((f"dehaze_{case}_{name}", value.numpy()) for name, value in stages._asdict().items())
    shapes = {"p_conv": (18, 8, 3, 3), "m_conv": (9, 8, 3, 3), "conv": (6, 8, 3, 3)}
    alone = drawn({f"dcn_alone.{name}.weight": shape for name, shape in shapes.items()}, 0.5, 3.0)
    for case, size in (("sq", (10, 10)), ("rect", (7, 12))):
        found[f"dcn_{case}_out"] = zoo_deformable(torch.tensor(image(3, (2, 8, *size))), alone, "dcn_alone").numpy()
    return found


def zoo_losses() -> Numbers:
    """CR of the model zoo alone, with its gradient, and both losses of the network."""
    clear, pred, hazy = (torch.tensor(image(seed, (3, 3, 64, 64), 255)) for seed in (10, 11, 12))
    vgg = drawn(vgg_shapes("vgg19.layers", has_bias=False))
    loss = zoo_contrast(pred.requires_grad_(True), clear, hazy.flip(0)[:2], vgg)
    loss.backward()
    with torch.no_grad():
        out = model_zoo(hazy, zoo_weights()).out
        cr = zoo_contrast(out, clear, hazy.flip(0)[:2], vgg)
    return {"cr_gitee": np.asarray(loss.item()), "cr_gitee_grad": pred.grad.numpy(),
            "cr_gitee_feat_means": _means(clear, vgg, "vgg19.layers"),
            "netcr_l1": np.asarray(functional.l1_loss(out, clear).item()), "netcr_cr": np.asarray(cr.item())}


def zoo_contrast(pred, clear, negatives, vgg):
    """Each prediction against each negative; the distances are summed over the negatives."""
    loss = 0.0
    for weight, near, positive, others in zip(WEIGHTS, *(vgg_maps(x, vgg, "vgg19.layers")
                                                         for x in (pred, clear, negatives))):
        far = sum((near - other).abs().mean() for other in others)
        loss = loss + weight * functional.l1_loss(near, positive) / (far + 1e-7)
    return loss


def zoo_measures() -> Numbers:
    """PSNR and SSIM of the Y channel (BT.601 with the model zoo's digits), without a border of 1 px."""
    a = image(5, (1, 3, 40, 56), 255)
    b = np.clip(a + np.random.RandomState(6).randn(*a.shape) * 12, 0, 255).astype(np.float32)
    y_a, y_b = (np.tensordot(np.array([65.738, 129.057, 25.064]) / 256, one[0, :, 1:-1, 1:-1].astype(np.float64), 1)
                for one in (a, np.round(b)))
    psnr = -10 * np.log10((((y_a - y_b) / 255) ** 2).mean())
    ssim = ssim_map(y_a[None, None] + 16, y_b[None, None] + 16, peak=255, padding=0).mean()
    return {"metric_gitee_psnr": np.asarray(psnr), "metric_gitee_ssim": np.asarray(ssim)}


# Both files

def make_official() -> Numbers:
    """The numbers of official.npz by name, without the random inputs of the deformable convolution."""
    held = dict(np.load(FOLDER / "official.npz"))
    return {**deformable(held), **fast_deconv(), **authors_outputs(), **contrastive(), **three_steps(), **measures()}


def make_gitee() -> Numbers:
    """The numbers of gitee.npz by name."""
    with torch.no_grad():
        outputs = zoo_outputs(dict(np.load(FOLDER / "gitee.npz")))
    return {**outputs, **zoo_losses(), **zoo_measures()}


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference as a share of the largest expected value."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))


def main() -> None:
    for file, make in (("gitee.npz", make_gitee), ("official.npz", make_official)):
        held, found = dict(np.load(FOLDER / file)), make()
        if len(sys.argv) > 1:
            Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
            written = {name: value.astype(held[name].dtype) for name, value in {**held, **found}.items()}
            np.savez_compressed(Path(sys.argv[1]) / file, **written)
            continue
        for name, value in found.items():
            print(f"{file:13} {name:48} {difference(value, held[name]):.1e}")


if __name__ == "__main__":
    main()

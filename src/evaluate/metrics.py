"""PSNR and SSIM against the ground truth, as the papers, the authors' code and the model zoo compute them.

Each function takes two RGB images of one shape, uint8[h, w, 3] or float[h, w, 3] in [0, 1]; the two types may differ.
It computes in float64 and returns a Python float. Equal images give inf (PSNR) and 1.0 (SSIM).

Each function raises InputError naming both shapes if the shapes differ, or if the images are smaller than its window
(no value is agreed upon for them). It raises ValueError if an image is no RGB image of one of the two types.
The functions import scikit-image and OpenCV themselves, because that import takes longer than `--help` should.
"""
from __future__ import annotations

from typing import Callable, Iterator, Tuple

import numpy as np

from ..errors import InputError

WINDOW = 11  # side of the SSIM window, pixels
SIGMA = 1.5  # standard deviation of the window, pixels
BAND = 512  # rows that psnr and ssim take at a time: 8 megapixels at once would take 1.3 GB
Y_WEIGHTS = np.array([65.738, 129.057, 25.064]) / 256  # BT.601 luma, studio range
BASICSR_Y_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255  # the same luma, rounded by others
Y_OFFSET = 16.0  # black level of the Y channel in 0..255
Y_BORDER = 1  # pixels on each side that the reference leaves out


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all RGB values, with peak 1 (255 for uint8) and without a border cut.

    Equal to scikit-image's `peak_signal_noise_ratio`. Takes images of any size.
    """
    _check_shapes(a, b, smallest=1)
    squares = 0.0
    for rows in _bands(a.shape[0], margin=0):
        squares += np.sum((_unit_range(a[rows]) - _unit_range(b[rows])) ** 2)
    return _decibel(squares / a.size)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004), the mean over the channels R, G and B.

    Gaussian window of 11x11 px with sigma 1.5, population covariance, data range 1. The mean leaves out a border of
    5 px, where the window reaches beyond the image. Equal to scikit-image's `structural_similarity` with these
    settings, and to the published tables. Takes images of at least 11x11 px.
    """
    from skimage.metrics import structural_similarity

    _check_shapes(a, b, smallest=WINDOW)
    margin, total = WINDOW // 2, 0.0
    for rows in _bands(a.shape[0], margin):
        mean = structural_similarity(_unit_range(a[rows]), _unit_range(b[rows]), data_range=1.0, channel_axis=2,
                                     gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False)
        total += mean * (rows.stop - rows.start - 2 * margin)
    return float(total / (a.shape[0] - 2 * margin))


def official_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM over RGB as in the authors' metrics.py: the same window as `ssim`, but the mean is over the whole map.

    Beyond the border the window sees zeros in both images, which raises the value of small images. Takes any size.
    """
    import cv2

    def blur(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_CONSTANT)

    return float(_ssim_map(*_pair(a, b, smallest=1), blur, peak=1.0).mean())


def psnr_y(prediction: np.ndarray, truth: np.ndarray) -> float:
    """PSNR in dB of the Y channel, as in the model zoo's `calc_psnr`. It is some dB higher than `psnr`, and it is not
    the figure of BasicSR (`psnr_y_basicsr`).

    The prediction is rounded to 8 bits, the truth is not. Y is the sum of RGB with the weights `Y_WEIGHTS`, which add
    up to 0.859 and so make errors smaller. The peak is 255, and a border of 1 px is left out. At least 3x3 px.
    """
    prediction, truth = _luma_pair(prediction, truth, smallest=1 + 2 * Y_BORDER)
    return _decibel(np.mean(((prediction - truth) / 255.0) ** 2))


def psnr_y_basicsr(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of the Y channel, as BasicSR's `calculate_psnr(..., crop_border=0, test_y_channel=True)`.

    Y is that of BT.601 for RGB of 0..255, neither image is rounded, and no border is left out. Many tables of
    restoration have this figure. `psnr_y` differs from it in rounding, border and weights.
    """
    _check_shapes(a, b, smallest=1)
    squares = 0.0
    for rows in _bands(a.shape[0], margin=0):
        squares += np.sum(((_unit_range(a[rows]) - _unit_range(b[rows])) @ BASICSR_Y_WEIGHTS) ** 2)
    return _decibel(squares / (a.shape[0] * a.shape[1]))


def ssim_y(prediction: np.ndarray, truth: np.ndarray) -> float:
    """SSIM of the Y channel, as in the model zoo's `calc_ssim`.

    The prediction is rounded to 8 bits. Y is 16 + the weighted sum of RGB in 0..255, without a border of 1 px. The
    mean is over the places where the whole Gaussian window (11x11 px, sigma 1.5) lies inside. Data range 255. At least
    13x13 px.
    """
    import cv2

    inside = slice(WINDOW // 2, -(WINDOW // 2))

    def blur(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (WINDOW, WINDOW), SIGMA)[inside, inside]

    return float(_ssim_map(*_luma_pair(prediction, truth, smallest=WINDOW + 2 * Y_BORDER), blur, peak=255.0).mean())


def _bands(height: int, margin: int) -> Iterator[slice]:
    """Rows of an image in bands, which bound the memory. A mean leaves out `margin` rows at both ends of each band."""
    for top in range(0, height - 2 * margin, BAND):
        yield slice(top, min(top + BAND + 2 * margin, height))


def _decibel(mean_square: float) -> float:
    return float("inf") if mean_square == 0 else float(-10.0 * np.log10(mean_square))


def _ssim_map(a: np.ndarray, b: np.ndarray, blur: Callable[[np.ndarray], np.ndarray], peak: float) -> np.ndarray:
    """The SSIM map, eq. 13 of Wang et al. 2004. `blur` computes the local means."""
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    return ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variances + c2))


def _luma_pair(prediction: np.ndarray, truth: np.ndarray, smallest: int) -> Tuple[np.ndarray, np.ndarray]:
    prediction, truth = _pair(prediction, truth, smallest)
    inside = slice(Y_BORDER, -Y_BORDER)
    return tuple(  # type: ignore[return-value]
        Y_OFFSET + (values[inside, inside] @ Y_WEIGHTS) for values in (np.round(prediction * 255.0), truth * 255.0))


def _pair(a: np.ndarray, b: np.ndarray, smallest: int) -> Tuple[np.ndarray, np.ndarray]:
    _check_shapes(a, b, smallest)
    return _unit_range(a), _unit_range(b)


def _check_shapes(a: np.ndarray, b: np.ndarray, smallest: int) -> None:
    for image in (a, b):
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be [h, w, 3], found shape {image.shape}")
    if a.shape != b.shape:
        raise InputError(f"images of different shapes cannot be compared: {a.shape} and {b.shape}")
    if min(a.shape[:2]) < smallest:
        raise InputError(f"images of shapes {a.shape} and {b.shape} are smaller than the {smallest} px of the measure")


def _unit_range(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8:
        return image / 255.0
    values = np.asarray(image, dtype=np.float64)
    # `not (a and b)`, so that NaN fails too
    if not np.issubdtype(image.dtype, np.floating) or not (values.min() >= -1e-6 and values.max() <= 1 + 1e-6):
        raise ValueError(
            f"image must be uint8 or float in [0, 1], found {image.dtype} from {values.min()} to {values.max()}")
    return np.clip(values, 0.0, 1.0)

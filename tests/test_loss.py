"""The contrastive loss equals those of both originals. Only the prediction gets a gradient. The Fourier loss is that of
NumPy's transform."""
import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from compiled import Function, Gradients, arrays, both_modes, both_modes_slow_graph, running
from golden.seeded import image, seeded
from src.train.loss import ContrastLoss, DistanceRatio, fourier_l1
from src.train.vgg import Vgg19, random_vgg19


@pytest.fixture(scope="module")
def gitee_vgg():
    vgg = Vgg19()
    for parameter in vgg.get_parameters():
        parameter.set_data(Tensor(seeded(f"vgg19.{parameter.name}", parameter.shape)))
    return vgg


@pytest.fixture(scope="module")
def paper_vgg():
    vgg = Vgg19(has_bias=True)
    for parameter in vgg.get_parameters():
        name = parameter.name.replace("layers", "vgg19.features")
        parameter.set_data(Tensor(seeded(name, parameter.shape)))
    return vgg


@pytest.fixture(scope="module")
def small_vgg():
    return random_vgg19(3)


def gitee_images():
    clear, pred, hazy = (image(seed, (3, 3, 64, 64), 255) for seed in (10, 11, 12))
    return clear, pred, hazy[::-1][:2].copy()


def paper_images():
    return tuple(image(seed, (2, 3, 64, 64)) for seed in (40, 41, 42))


def first_and_fifth_call(loss, images, factor=1.0):
    """Value and gradients by each of the images. Eager mode compiles nothing and is called once."""
    gradients = Gradients(loss, len(images))
    count = 5 if mindspore.get_context("mode") == mindspore.GRAPH_MODE else 1
    calls = [arrays(gradients(Tensor(factor, mindspore.float32), *map(Tensor, images))) for _ in range(count)]
    return [(value, *by_inputs) for value, by_inputs, _ in (calls[0], calls[-1])]


@both_modes_slow_graph
def test_gitee_form_equals_the_reference_on_repeated_calls(golden_gitee, gitee_vgg, mode):
    expected = golden_gitee["cr_gitee_grad"]
    with running(mode):
        for value, by_clear, by_pred, by_negatives in first_and_fifth_call(ContrastLoss(gitee_vgg), gitee_images()):
            np.testing.assert_allclose(value, golden_gitee["cr_gitee"], rtol=1e-4)
            assert np.abs(by_pred - expected).max() < 1e-4 * np.abs(expected).max()
            assert not by_clear.any() and not by_negatives.any()


@pytest.mark.slow
@both_modes_slow_graph
def test_paper_form_equals_the_authors_on_repeated_calls(golden_official, paper_vgg, mode):
    """d|x|/dx jumps at 0, and a few of the 2.7 million feature pairs here differ by less than the precision of float32.
    The tolerance is 1e-4 for pixels out of reach of such pairs, and 1e-3 for the others."""
    expected = golden_official["cr_official_grad"]
    images = paper_images()
    reach = pixels_behind_undecided_signs(paper_vgg, images)
    assert 0.01 < reach.mean() < 0.2
    with running(mode):
        for value, by_clear, by_pred, by_negatives in first_and_fifth_call(ContrastLoss(paper_vgg, "paper"), images):
            np.testing.assert_allclose(value, golden_official["cr_official"], rtol=1e-4)
            error = np.abs(by_pred - expected) / np.abs(expected).max()
            assert error[~reach].max() < 1e-4
            assert error.max() < 1e-3
            assert not by_clear.any() and not by_negatives.any()


def pixels_behind_undecided_signs(vgg, images, noise=1e-6):
    """The values of pred that touch a feature which nearly equals that of another image."""
    with running(mindspore.PYNATIVE_MODE):
        clear, pred, negatives = (arrays(vgg(Tensor(values))) for values in images)
        undecided = []
        for own, *others in zip(pred, clear, negatives):
            gaps = np.abs(own - np.stack(others))
            undecided.append(Tensor(np.any((0 < gaps) & (gaps < noise), axis=0).astype(np.float32)))

        def marked(x):
            return sum((feature * mask).sum() for feature, mask in zip(vgg(x), undecided))

        return mindspore.grad(marked)(Tensor(images[1])).asnumpy() != 0


@both_modes
@pytest.mark.parametrize("size", [(6, 9), (16, 12)])
def test_fourier_loss_and_gradient_are_those_of_numpys_transform(mode, size):
    error = seeded("fourier", (2, 3, *size))
    transform = np.fft.fft2(error.astype(np.float64))
    signs = np.sign(transform.real) + 1j * np.sign(transform.imag)
    slope = np.fft.ifft2(signs).real * np.prod(size) / (2 * error.size)

    with running(mode):
        for value, by_error in first_and_fifth_call(Function(fourier_l1), (error,), factor=-3.0):
            np.testing.assert_allclose(value, (np.abs(transform.real) + np.abs(transform.imag)).mean() / 2, rtol=1e-5)
            np.testing.assert_allclose(by_error, -3.0 * slope, rtol=1e-4, atol=1e-6)


@both_modes
@pytest.mark.parametrize("average", [False, True])
def test_ratio_and_gradient_follow_the_definition(mode, average):
    pred, positive = seeded("ratio.pred", (3, 2, 5, 4)), seeded("ratio.positive", (3, 2, 5, 4))
    negatives = seeded("ratio.negatives", (4, 2, 5, 4))
    positive[0, 0, 0, 0] = pred[0, 0, 0, 0]
    gaps = pred[None].astype(np.float64) - negatives[:, None]
    share = 1 / 4 if average else 1.0
    near, far = np.abs(pred - positive).mean(), np.abs(gaps).sum(0).mean() * share
    slope = (np.sign(pred - positive) / far - near / far**2 * share * np.sign(gaps).sum(0)) / pred.size

    cell = DistanceRatio(negatives_shared=True, average=average)

    def ratio(*images):
        return cell(*images)[1]

    with running(mode):
        for value, by_pred, by_positive, by_negatives in first_and_fifth_call(
                Function(ratio), (pred, positive, negatives), factor=-3.0):
            np.testing.assert_allclose(value, near / far, rtol=1e-5)
            np.testing.assert_allclose(by_pred, -3.0 * slope, rtol=1e-4, atol=1e-9)
            assert not by_positive.any() and not by_negatives.any()


def test_a_half_precision_prediction_is_compared_in_single_precision(small_vgg):
    clear, pred, hazy = (Tensor(image(seed, (1, 3, 16, 16), 255).astype(np.float16)) for seed in (1, 2, 3))
    single = ContrastLoss(small_vgg)(*(values.astype(mindspore.float32) for values in (clear, pred, hazy)))
    assert float(ContrastLoss(small_vgg)(clear, pred, hazy)) == float(single)


def test_averaging_the_negatives_makes_their_number_indifferent(small_vgg):
    clear, pred, hazy = (Tensor(image(seed, (1, 3, 16, 24), 255)) for seed in (1, 2, 3))
    twice = Tensor(np.repeat(hazy.asnumpy(), 2, axis=0))
    one = float(ContrastLoss(small_vgg)(clear, pred, hazy))
    assert float(ContrastLoss(small_vgg, average=True)(clear, pred, twice)) == pytest.approx(one, rel=1e-5)
    assert float(ContrastLoss(small_vgg)(clear, pred, twice)) == pytest.approx(one / 2, rel=1e-5)


def test_both_forms_are_one_for_a_single_image(small_vgg):
    images = [Tensor(image(seed, (1, 3, 16, 24), 255)) for seed in (1, 2, 3)]
    gitee, paper = (float(ContrastLoss(small_vgg, form)(*images)) for form in ("gitee", "paper"))
    assert gitee == pytest.approx(paper, rel=1e-6)


def test_a_perfect_prediction_has_no_loss_and_a_finite_gradient(small_vgg):
    clear, hazy = image(1, (2, 3, 16, 16), 255), image(2, (2, 3, 16, 16), 255)
    value, (by_pred,), _ = Gradients(Function(lambda x: ContrastLoss(small_vgg)(Tensor(clear), x, Tensor(hazy))), 1)(
        Tensor(1.0), Tensor(clear))
    assert float(value) == 0
    assert np.isfinite(by_pred.asnumpy()).all()


@pytest.mark.parametrize("form, clear, negatives", [
    ("gitee", (2, 3, 16, 20), (2, 3, 16, 16)),  # clear of another size
    ("gitee", (2, 3, 16, 16), (2, 3, 16, 20)),  # negatives of another size
    ("paper", (2, 3, 16, 16), (1, 3, 16, 16)),  # one hazy image for two predictions
])
def test_images_that_do_not_fit_are_refused(small_vgg, form, clear, negatives):
    pred = (2, 3, 16, 16)
    with pytest.raises(ValueError, match="must be|must have"):
        ContrastLoss(small_vgg, form)(*(Tensor(np.zeros(shape, np.float32)) for shape in (clear, pred, negatives)))


def test_an_unknown_form_is_refused(small_vgg):
    with pytest.raises(ValueError, match="gitee, paper"):
        ContrastLoss(small_vgg, "own")

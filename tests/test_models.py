"""tl.models against the same networks in PyTorch: names, shapes, published numbers of parameters, values, gradients, files."""
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import models_in_torch as theirs
import numpy as np
import pytest

import tensorlite as tl
from tensorlite import models
from tensorlite.errors import ShapeError
from tensorlite.nn import StateDictError

torch = theirs.torch

# name -> (ours, theirs, an input's shape; published number of parameters)
TWINS: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[int, ...], int]] = {
    "lenet": (models.lenet, theirs.LeNet, (2, 1, 28, 28), 61_706),
    "alexnet": (models.alexnet, theirs.alexnet, (2, 3, 67, 67), 61_100_840),
    "alexnet as in the paper": (partial(models.alexnet, original=True), partial(theirs.alexnet, original=True), (2, 3, 67, 67),
                                60_965_224),
    "vgg11": (models.vgg11, partial(theirs.vgg, "A"), (1, 3, 32, 32), 132_863_336),
    "vgg16": (models.vgg16, partial(theirs.vgg, "D"), (1, 3, 32, 32), 138_357_544),
    "vgg11 for CIFAR": (partial(models.vgg11, 10, stem="cifar"), partial(theirs.vgg, "A", 10, False, True), (2, 3, 32, 32),
                        9_225_610),
    "vgg11_bn for CIFAR": (partial(models.vgg11_bn, 10, stem="cifar"), partial(theirs.vgg, "A", 10, True, True), (3, 3, 32, 32),
                           9_231_114),
    "vgg16_bn for CIFAR": (partial(models.vgg16_bn, 10, stem="cifar"), partial(theirs.vgg, "D", 10, True, True), (2, 3, 32, 32),
                           14_728_266),
    "resnet18": (models.resnet18, partial(theirs.ResNet, 1, (2, 2, 2, 2)), (2, 3, 48, 48), 11_689_512),
    "resnet18 for CIFAR": (partial(models.resnet18, 10, stem="cifar"), partial(theirs.ResNet, 1, (2, 2, 2, 2), 10, True),
                           (2, 3, 16, 16), 11_173_962),
    "resnet50": (models.resnet50, partial(theirs.ResNet, 4, (3, 4, 6, 3)), (2, 3, 40, 40), 25_557_032),
    "resnet20": (models.resnet20, partial(theirs.SmallResNet, 3), (3, 3, 32, 32), 269_722),
    "resnet32": (models.resnet32, partial(theirs.SmallResNet, 5), (2, 3, 16, 16), 464_154),
    "preact_resnet18": (models.preact_resnet18, theirs.PreActResNet, (2, 3, 32, 32), 11_171_146),
    "densenet121": (models.densenet121, partial(theirs.densenet, 32, (6, 12, 24, 16), 64, 4, 1000), (2, 3, 32, 32), 7_978_856),
    "densenet_bc_100_12": (models.densenet_bc_100_12, partial(theirs.densenet, 12, (16, 16, 16), 24, 4, 10, True), (2, 3, 8, 8),
                           769_162),
    "densenet_40_12": (models.densenet_40_12, partial(theirs.densenet, 12, (12, 12, 12), 16, 0, 10, True, 1.0), (2, 3, 8, 8),
                       1_019_722),
}
LARGE = {"alexnet as in the paper", "vgg11", "vgg16", "resnet50"}   # too large for float64 here
FORWARD = {*LARGE, "alexnet", "densenet121"}                        # whose gradients take too long here


def randomized(model: Any, seed: int) -> Any:
    """The model with normalisation layers that are not the identity; linear layers divided, as logits should stay small."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


@pytest.mark.parametrize("name", TWINS)
def test_names_values_and_gradients(name: str) -> None:
    make, make_twin, shape, count = TWINS[name]
    print("seed 0")
    torch.manual_seed(0)
    ours, twin = make(), randomized(make_twin(), 0)
    state = twin.state_dict()
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in state.items()}
    assert [k for k, _ in ours.named_parameters()] == [k for k, _ in twin.named_parameters()]
    assert sum(p.numel() for p in ours.parameters()) == count
    x = np.random.default_rng(0).standard_normal(shape)
    ours.load_state_dict(state)
    ours.eval(), twin.eval()
    with tl.no_grad(), torch.no_grad():
        out, expected = ours(tl.tensor(x.astype(np.float32))).numpy(), twin(torch.tensor(x, dtype=torch.float32)).numpy()
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        if name in LARGE:
            return
        ours.double(), twin.double()
        out, expected = ours(tl.tensor(x)).numpy(), twin(torch.tensor(x)).numpy()
        np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())
    if name in FORWARD:
        return
    ours.train(), twin.train()   # by the batch's statistics, which the running ones follow
    g = np.random.default_rng(1).standard_normal(expected.shape)
    ours(tl.tensor(x)).backward(tl.tensor(g))
    twin(torch.tensor(x)).backward(torch.tensor(g))
    for key, q in twin.named_parameters():
        size = q.grad.abs().max().item()
        np.testing.assert_allclose(ours.get_parameter(key).grad.numpy(), q.grad.numpy(), rtol=1e-7, atol=1e-7 * size + 1e-12,
                                   err_msg=key)
    for key, b in twin.named_buffers():
        np.testing.assert_allclose(ours.get_buffer(key).numpy(), b.numpy(), rtol=1e-8, atol=1e-10, err_msg=key)


def test_a_file_written_by_torch(tmp_path: Path) -> None:
    """A state dict saved as safetensors by PyTorch loads strictly, and one of another network says what is wrong."""
    save_file = pytest.importorskip("safetensors.torch").save_file
    twin = randomized(theirs.ResNet(1, (2, 2, 2, 2), 7), 3).eval()
    save_file(twin.state_dict(), tmp_path / "resnet18.safetensors")
    model = models.resnet18(num_classes=7).eval()
    found = model.load_state_dict(tl.io.load_safetensors(tmp_path / "resnet18.safetensors"), strict=True)
    assert found == ([], [])
    x = np.random.default_rng(0).standard_normal((1, 3, 40, 40)).astype(np.float32)
    with tl.no_grad(), torch.no_grad():
        expected = twin(torch.tensor(x)).numpy()
        np.testing.assert_allclose(model(tl.tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(StateDictError, match=r"fc\.weight has shape \(7, 512\) in the state dict and \(10, 512\)"):
        models.resnet18(num_classes=10).load_state_dict(tl.io.load_safetensors(tmp_path / "resnet18.safetensors"))


def test_how_they_start() -> None:
    """Kaiming's normals by fan out for convolutions, ones and zeros for normalisation, and blocks that start as the identity."""
    tl.manual_seed(0)
    model = models.resnet18(zero_init_residual=True).requires_grad_(False)
    w = model.layer3[0].conv2.weight.numpy()
    assert abs(w.std() / np.sqrt(2 / (256 * 9)) - 1) < 0.01 and abs(w.mean()) < 1e-3
    assert (model.layer1[0].bn1.weight.numpy() == 1).all() and (model.layer1[0].bn1.bias.numpy() == 0).all()
    assert (model.layer1[0].bn2.weight.numpy() == 0).all()
    vgg = models.vgg11_bn(10, stem="cifar").requires_grad_(False)
    assert abs(vgg.classifier[0].weight.numpy().std() - 0.01) < 1e-3 and (vgg.features[0].bias.numpy() == 0).all()
    dense = models.densenet_bc_100_12().requires_grad_(False)
    assert abs(dense.features.conv0.weight.numpy().std() / np.sqrt(2 / 27) - 1) < 0.1


def test_options() -> None:
    x = tl.zeros(2, 1, 32, 32)
    with tl.no_grad():
        for model in (models.resnet18(5, 1, stem="cifar"), models.vgg11(5, 1, stem="cifar"), models.resnet20(5, 1),
                      models.preact_resnet18(5, 1, final_norm=True), models.densenet_40_12(5, 1, drop_rate=0.2),
                      models.lenet(5, 1, image_size=32)):
            assert model(x).shape == (2, 5)
        assert models.lenet(10, image_size=8)(tl.zeros(1, 1, 8, 8)).shape == (1, 10)
    assert models.preact_resnet18(final_norm=True).bn.num_features == 512


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"stem 'small' is unknown; expected 'imagenet' .* or 'cifar'"):
        models.resnet18(stem="small")
    with pytest.raises(ShapeError, match=r"lenet: images have shape \(1, 1, 8, 8\).*lenet\(image_size=8\)"):
        models.lenet()(tl.zeros(1, 1, 8, 8))
    with pytest.raises(ShapeError, match=r"image_size is 2; expected at least 4"):
        models.lenet(image_size=2)
    with pytest.raises(ShapeError, match=r"max_pool2d: kernel_size 3 .* larger than the padded input"):
        models.alexnet(10)(tl.zeros(1, 3, 32, 32))

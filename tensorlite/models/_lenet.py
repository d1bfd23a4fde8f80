"""LeNet-5 (LeCun et al. 1998), with rectified linear units and max pooling."""
from __future__ import annotations

from typing import Any

from tensorlite import nn
from tensorlite.errors import ShapeError
from tensorlite.nn import functional as F

__all__ = ["LeNet", "lenet"]

Tensor = Any


class LeNet(nn.Module):
    """Two convolutions of 5 x 5, each with 2 x 2 max pooling, and three linear layers: (N, in_channels, s, s) to
    (N, num_classes).

    ``image_size`` s: 32 as in the paper; below, images are padded by 2, which makes 32 of 28; below 12 the second convolution
    pads too. The names of the parameters are those of PyTorch's tutorial.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> None:
        super().__init__()
        pads = 0 if image_size >= 32 else 2, 2 if image_size < 12 else 0
        side = image_size
        for pad in pads:
            side = (side + 2 * pad - 4) // 2
        if side < 1:
            raise ShapeError(f"lenet: image_size is {image_size}; expected at least 4")
        self.image_size = image_size
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=pads[0])
        self.conv2 = nn.Conv2d(6, 16, 5, padding=pads[1])
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[-2:]) != (self.image_size, self.image_size):
            raise ShapeError(f"lenet: images have shape {tuple(x.shape)}; this one was made for {self.image_size} x "
                             f"{self.image_size}: lenet(image_size={x.shape[-1]})")
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


def lenet(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> LeNet:
    """LeNet-5: 61,706 parameters for 28 x 28 or 32 x 32 pixels and 10 classes.

    >>> import tensorlite as tl
    >>> tl.models.lenet()(tl.zeros(2, 1, 28, 28)).shape
    (2, 10)
    """
    return LeNet(num_classes, in_channels, image_size)

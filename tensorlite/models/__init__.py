"""Models to start from, with the parameters' names of torchvision or of the usual implementations."""
from tensorlite.models._alexnet import AlexNet, alexnet
from tensorlite.models._densenet import DenseNet, densenet121, densenet_40_12, densenet_bc_100_12
from tensorlite.models._lenet import LeNet, lenet
from tensorlite.models._mlp import mlp
from tensorlite.models._resnet import (
    CifarResNet,
    PreActResNet,
    ResNet,
    preact_resnet18,
    resnet18,
    resnet20,
    resnet32,
    resnet50,
)
from tensorlite.models._vgg import VGG, vgg11, vgg11_bn, vgg16, vgg16_bn

__all__ = [
    "VGG", "AlexNet", "CifarResNet", "DenseNet", "LeNet", "PreActResNet", "ResNet", "alexnet", "densenet121", "densenet_40_12",
    "densenet_bc_100_12", "lenet", "mlp", "preact_resnet18", "resnet18", "resnet20", "resnet32", "resnet50", "vgg11", "vgg11_bn",
    "vgg16", "vgg16_bn",
]

"""Data sets, and batches of them: ``DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)``."""
from tensorlite.data import transforms
from tensorlite.data._dataset import ArrayDataset, Dataset, Subset, TensorDataset, random_split
from tensorlite.data._folder import ImageFolder
from tensorlite.data._loader import DataLoader, collate
from tensorlite.data.images import ImageDataset, cifar10, cifar100, digits, load, mnist
from tensorlite.data.transforms import ColorJitter, Cutout, Normalize, RandomCrop, RandomFlip

__all__ = ["ArrayDataset", "ColorJitter", "Cutout", "DataLoader", "Dataset", "ImageDataset", "ImageFolder", "Normalize",
           "RandomCrop", "RandomFlip", "Subset", "TensorDataset", "cifar10", "cifar100", "collate", "digits", "load", "mnist",
           "random_split", "transforms"]

"""Data sets, and batches of them: ``DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)``."""
from tensorlite.data import transforms
from tensorlite.data._dataset import ArrayDataset, Dataset, Subset, TensorDataset, random_split
from tensorlite.data._loader import DataLoader, collate
from tensorlite.data.images import digits, load, mnist
from tensorlite.data.transforms import ColorJitter, Cutout, Normalize, RandomCrop, RandomFlip

__all__ = ["ArrayDataset", "ColorJitter", "Cutout", "DataLoader", "Dataset", "Normalize", "RandomCrop", "RandomFlip", "Subset",
           "TensorDataset", "collate", "digits", "load", "mnist", "random_split", "transforms"]

"""Models to start from."""
from tensorlite.models._mlp import mlp

__all__ = ["mlp"]

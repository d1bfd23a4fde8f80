"""Linear algebra under the array API's and PyTorch's names: the products and norms (decompositions join them in a later version)."""
from __future__ import annotations

from tensorlite.ops.contraction import matmul, outer, tensordot, vecdot
from tensorlite.ops.manipulation import matrix_transpose
from tensorlite.ops.rearrange import diagonal
from tensorlite.ops.statistics import norm, vector_norm

__all__ = ["diagonal", "matmul", "matrix_transpose", "norm", "outer", "tensordot", "vecdot", "vector_norm"]

"""CuPy's second package: what the CUDA backend takes from it."""

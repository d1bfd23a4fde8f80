"""Side-by-side measurements: ``python -m bench``.

Every figure is a median, every ratio is ours over the peer's in the same run.
"""

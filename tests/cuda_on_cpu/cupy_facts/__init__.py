"""What CuPy 13 and 14 have, and what they did when asked; see ``names.py`` and ``observe.py``."""

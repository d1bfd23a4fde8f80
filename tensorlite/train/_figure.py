"""Figures without a display: matplotlib is imported when the first one is made."""
from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from tensorlite._files import write_atomic
from tensorlite.errors import TensorliteError


def figure(width: float, height: float, what: str = "pictures") -> Any:
    """An empty figure of that many inches. ``TensorliteError`` saying what to install if there is no matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TensorliteError(f'{what} need matplotlib ({error}); install it with: pip install "tensorlite[train]"') from None
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def write(figure: Any, path: str | Path) -> None:
    """Write the figure as a PNG, as a whole or not at all."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_atomic(path, picture.getvalue())

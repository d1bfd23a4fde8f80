"""The stand-ins for CuPy 13 and for CuPy 14: two modules made of one source, with nothing in common while they run."""
from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["cupy_stand_in"]


def cupy_stand_in(version: int = 14) -> ModuleType:
    """The module that stands in for CuPy 13 or 14."""
    name = f"{__package__}.cupy" + ("13" if version == 13 else "")
    if name in sys.modules or version != 13:
        return importlib.import_module(name)
    folder = Path(__file__).with_name("cupy")
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    second = f"{__package__}.cupyx"
    for path in ("", ".scipy", ".scipy.linalg"):   # of one source, which looks at the version of the arrays it is given
        sys.modules[f"{second}13{path}"] = importlib.import_module(second + path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

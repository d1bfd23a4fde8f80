"""Turns docstrings into Markdown: examples become code blocks, roles become code, indices stay text."""
from __future__ import annotations

import re
from typing import Any

import griffe


def markdown(text: str) -> str:
    """The docstring with its doctests fenced."""
    out: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith(">>>") and not inside:
            out += [*([""] if out and out[-1].strip() else []), "```pycon"]
            inside = True
        elif inside and not line.strip():
            out.append("```")
            inside = False
        if not inside:
            line = re.sub(r":(?:func|meth|class|mod):`([^`]*)`", r"`\1`", line)
            line = "`".join(part if k % 2 else part.replace("][", "]\\[") for k, part in enumerate(line.split("`")))
        out.append(line)
    return "\n".join([*out, "```"] if inside else out)


class Markdown(griffe.Extension):
    """Applied to every object as it is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.is_module:   # these speak to who reads the source
            obj.docstring = None
        elif obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = markdown(obj.docstring.value)

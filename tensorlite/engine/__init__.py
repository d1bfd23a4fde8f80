"""The differentiation engine: values and levels, primitives and their rules, the tape, and changes in place.

It names no operation and no array library. What it needs of them (adding two cotangents, summing one down to a broadcast
argument's shape) is handed in through :func:`tensorlite.engine.value.provide`.
"""

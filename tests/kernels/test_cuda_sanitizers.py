"""Every CUDA kernel under ThreadSanitizer and AddressSanitizer, which must find the faults planted in other kernels.

By default one dtype and a few sizes; all of them with TENSORLITE_TEST_SLOW=1.
"""
from __future__ import annotations

import os

import pytest
from cuda_on_cpu import sanitize
from cuda_on_cpu.cases import DTYPES, kernels

SLOW = bool(os.environ.get("TENSORLITE_TEST_SLOW"))


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["thread", "address"])
def test_kernels_are_clean_and_planted_faults_are_found(sanitizer: str):
    if why := sanitize.why_not(sanitizer):
        pytest.skip(why)
    dtypes, sizes = (DTYPES, (0, 1, 7, 37, 300, 2500)) if SLOW else (("float32",), (37, 2500))
    found = sanitize.report(sanitizer, kernels(), dtypes, sizes)
    planted = sanitize.planted(sanitizer)
    missed = [name for name in planted if not found[name]]
    assert not missed, f"the {sanitizer} sanitizer does not find: {', '.join(missed)}"
    wrong = {name: sorted(set(found[name]))[:5] for name in kernels() if found[name]}
    assert not wrong, "\n".join(f"{name}: {line}" for name, lines in wrong.items() for line in lines)
    assert set(planted) | set(kernels()) <= set(found), "every kernel has run"

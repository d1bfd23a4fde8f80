"""Checking gradients against finite differences, and whole operations against everything they promise."""
from __future__ import annotations

from tensorlite.testing._certify import CertifyError, Report, certify
from tensorlite.testing._gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = ["CertifyError", "GradcheckError", "Report", "certify", "gradcheck", "gradgradcheck"]

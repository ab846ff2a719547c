"""PyTorch, which only learning needs: whether it is installed, and how to get it."""

from __future__ import annotations

from importlib.util import find_spec

from model.errors import MissingLibrary

TORCH_MISSING = "learning needs PyTorch, which is not installed: pip install 'ecg-monitor[learn]'"


def torch_is_installed() -> bool:
    """Look for it without importing it, which takes more than a second and 200 MB."""
    return find_spec("torch") is not None


def require_torch() -> None:
    """Raise MissingLibrary if PyTorch is missing: before work begins that would end in vain."""
    if not torch_is_installed():
        raise MissingLibrary(TORCH_MISSING)

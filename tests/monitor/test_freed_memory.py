"""Freed memory that is kept."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides otherwise")
def test_memory_that_was_freed_is_used_again() -> None:
    """An array of a megabyte costs page faults once, not each time one is made."""
    code = (
        "import resource, numpy as np\n"
        "from monitor.freed_memory import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(100): np.ones(1 << 20, np.uint8)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    # Settings of glibc's own win over what is asked of it here.
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    faults = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=environment
    )
    assert int(faults.stdout) < 1000  # 25,600 where each array is mapped anew

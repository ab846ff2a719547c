"""Where the records of an archive are worked on."""

from __future__ import annotations

import pytest

from monitor.cli.worker_options import workers_for
from monitor.errors import InvalidOption
from monitor.offline import dask_cluster


@pytest.mark.parametrize("address", ["local", "tcp://127.0.0.1:8786"])
def test_dask_is_missed_before_anything_is_made(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how to get it; `annotate` left an empty folder behind."""
    monkeypatch.setattr(dask_cluster, "find_spec", lambda _name: None)
    with pytest.raises(InvalidOption, match=r"pip install 'ecg-monitor\[dask\]'"):
        workers_for("monitor.offline.annotate", None, address)

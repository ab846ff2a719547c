"""From a name to its source: ours, and those of other packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import RecordError
from monitor.sources.kinds import cannot_wait, is_live, open_live, open_record, schemes

PACKAGE = """
import time
from pathlib import Path
import numpy as np
from monitor.errors import RecordError
from monitor.sources.source import FileFormat, LiveBlock, LiveKind, LiveStream

def recognises(path, head):
    return head.startswith(b"FOREIGN")

def open_foreign(path, options):
    raise RecordError(f"foreign {path.name}")

FORMAT = FileFormat("Foreign", recognises, open_foreign)

class Tick:
    streams = (LiveStream(("I",), 250.0),)
    warnings = ()
    ended = False
    sent = 0
    def take(self):
        first, self.sent = self.sent, self.sent + 10
        block = np.zeros((1, 10), np.float32)
        return [LiveBlock(self.streams[0], first, block, time.monotonic_ns())]
    def take_notices(self):
        return []
    def close(self):
        pass

LIVE = LiveKind("a clock", lambda rest, options: Tick(), "tick:")
"""
ENTRY_POINTS = """
[ecg_monitor.formats]
broken = no_such_module:FORMAT
foreign = foreign_ecg:FORMAT
[ecg_monitor.live]
tick = foreign_ecg:LIVE
lost = no_such_module:LIVE
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Install a package of somebody else, as pip would."""
    (tmp_path / "foreign_ecg.py").write_text(PACKAGE)
    info = tmp_path / "foreign_ecg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-ecg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def run_beside(installed: Path, code: str) -> Any:  # what JSON holds
    """Run code where a package is installed; return the JSON that it prints."""
    code = f"import json, sys; sys.path.append({str(installed)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_package_adds_a_format_and_a_live_source(installed: Path, tmp_path: Path) -> None:
    """By entry points; one that cannot be loaded spoils none of the others."""
    (tmp_path / "a.rec").write_bytes(b"FOREIGN ECG")
    code = f"""
from pathlib import Path
from monitor.errors import RecordError
from monitor.sources.kinds import *
path = Path({str(tmp_path / "a.rec")!r})
found = [is_live("tick:x"), cannot_wait("tick:x"), recognised(path).name]
(block,) = open_live("tick:", SourceOptions()).take()
found += [block.samples.shape[1]]
try:
    open_live("lost:", SourceOptions())
except RecordError as error:
    found += [str(error)]
print(json.dumps(found))
"""
    live, cannot, name, taken, error = run_beside(installed, code)
    assert (live, cannot, name, taken) == (True, True, "Foreign", 10)
    assert error.startswith("source lost: its package cannot be loaded (No module named")


def test_names_of_live_sources() -> None:
    """A scheme that is known, or a pipe; a path may hold a colon all the same."""
    assert is_live("-")
    assert not cannot_wait("mitdb/119")
    for path in ("mitdb/119", "C:\\night.edf", "nobody:here", "./-"):
        assert not is_live(path), path
    for scheme in schemes():
        assert is_live(f"{scheme}:")


def test_a_record_is_needed_where_a_source_has_no_end() -> None:
    """The message says how to make one."""
    with pytest.raises(RecordError, match="is a live source, and a record is needed; keep it as"):
        open_record("-")


def test_what_is_no_live_source_is_said() -> None:
    """With those there are."""
    from monitor.sources.source import SourceOptions

    with pytest.raises(RecordError, match="'nobody:here' is no live source"):
        open_live("nobody:here", SourceOptions())


def test_a_file_of_no_known_format_is_said(tmp_path: Path) -> None:
    """With the formats there are, and where they are described."""
    (tmp_path / "song.mp3").write_bytes(b"ID3" + bytes(100))
    with pytest.raises(RecordError, match=r"song.mp3 is in no format that can be read \(WFDB"):
        open_record(tmp_path / "song.mp3")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(RecordError, match="empty is in no format"):
        open_record(tmp_path / "empty")

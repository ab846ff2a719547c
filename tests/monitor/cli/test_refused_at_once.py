"""What is not there is reported at once: before anything that takes a second to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model.libraries import torch_is_installed

SLOW = ("torch", "onnxruntime", "wfdb", "pandas", "matplotlib", "scipy.signal", "distributed")
SCRIPT = f"""
import sys
from monitor.cli.app import app
for line in sys.stdin.read().splitlines():
    try:
        app(line.split())
    except SystemExit as ended:
        loaded = [name for name in {SLOW} if name in sys.modules]
        sys.stderr.write(f'exit code {{ended.code}}, loaded {{loaded}}\\n')
"""
# With what the one line of each says.
REFUSED = {
    "evaluate patients file": "file is not a folder",
    "evaluate patients nowhere --jobs 2": "nowhere is not a folder",
    "evaluate patients records --record x": "records has no record x; known are r",
    "evaluate patients records --checkpoint no.st": "no.st is not a file",
    "evaluate noise file": "file is not a folder",
    "evaluate alarms file": "file is not a folder",
    "evaluate beats file records": "file is not a folder",
    "evaluate beats records file": "file is not a folder",
    "evaluate --ecg5000 no.txt": "no.txt: cannot be read: No such file",
    "evaluate --checkpoint no.st": "no.st is not a file",
    "evaluate --plot nowhere/x.png": "cannot write to nowhere",
    "train --ecg5000 no.txt --out m.st": "no.txt: cannot be read: No such file",
    "train no --out m.st": "record no does not exist",
    "train no --out nowhere/m.st": "cannot write to nowhere",
    "annotate no --out found": "record no does not exist",
    "annotate no.hea --out found": "record no.hea does not exist",
    "annotate empty --learn 5:00 --out found": "empty holds no records",
    "annotate records --out file": "file is not a folder",
    "annotate records --checkpoint no.st --out found": "no.st is not a file",
    "score --checkpoint no.st --ecg5000 file.txt": "no.st is not a file",
    "score --checkpoint file --ecg5000 no.txt": "no.txt: cannot be read: No such file",
    "report no --html n.html": "record no does not exist",
    "report no --html nowhere/n.html": "cannot write to nowhere",
    "report no --html n.pdf --pdf": "n.pdf would be replaced",
}


@pytest.mark.skipif(not torch_is_installed(), reason="without PyTorch, learning is refused first")
def test_what_is_not_there_is_reported_at_once(tmp_path: Path) -> None:
    """One line and exit code 2, of each command on data at rest; nothing slow is imported."""
    (tmp_path / "file").write_text("no record\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "r.hea").write_text("r 1 250 1000\nr.dat 16\n")
    before = sorted(tmp_path.iterdir())
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(REFUSED),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    said = run.stderr.splitlines()
    assert run.stdout == ""
    assert sorted(tmp_path.iterdir()) == before
    for line, words, ended in zip(REFUSED, said[::2], said[1::2], strict=True):
        assert REFUSED[line] in words, line
        assert ended == "exit code 2, loaded []", line

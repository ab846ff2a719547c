"""What the program notes down: where, for how long, and that a traceback is never lost."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli import app as commands
from monitor.errors import InvalidOption
from monitor.log import (
    KEPT_FILES,
    MAX_BYTES,
    keep_traceback,
    note_to_file,
    note_to_stderr,
    run_log,
    state_folder,
    stop_noting,
)
from monitor.safe_imports import PYTHON, environment
from monitor.stages.pulse import WHERE_SIGNAL

LOG = logging.getLogger("monitor.somewhere")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have the state folder lie in the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield state_folder()
    stop_noting()


def test_a_log_lies_beside_the_journal_or_in_the_state_folder(tmp_path: Path, state: Path) -> None:
    """Or where a person said."""
    journal, given, spare = (tmp_path / name for name in ("j.sqlite", "given", "spare"))
    with run_log(None, journal, spare) as path:
        assert path == tmp_path / "j.sqlite.log"
    with run_log(None, None, spare) as path:
        assert path.parent == state
    with run_log(given, journal, spare) as path:
        assert path == given


def test_a_log_in_which_nothing_stands_is_removed(tmp_path: Path) -> None:
    """One in which something stands is kept, and the next run appends to it."""
    for text, expected in ((None, 0), ("first", 1), (None, 1), ("second", 2)):
        with run_log(None, tmp_path / "j", tmp_path / "spare") as path:
            if text is not None:
                LOG.warning("%s", text)
            LOG.info("a step")
        assert len(path.read_text().splitlines() if path.exists() else []) == expected


def test_verbose_notes_every_step(tmp_path: Path) -> None:
    """With the time in UTC, the level, the module and the process."""
    note_to_file(tmp_path / "log", verbose=True)
    LOG.debug("a step")
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith(f"Z DEBUG monitor.somewhere[{os.getpid()}] a step")


def test_where_no_log_can_be_written_the_run_goes_on(tmp_path: Path) -> None:
    """Unless a person named the file."""
    nowhere = tmp_path / "file"
    nowhere.write_text("no folder")
    spare = tmp_path / "spare"
    with run_log(None, nowhere / "j", spare) as path:
        assert path == spare
    with (
        pytest.raises(InvalidOption, match="name another with --log"),
        run_log(nowhere / "log", None, spare),
    ):
        pass


def test_a_long_log_is_put_aside(tmp_path: Path) -> None:
    """Once, so that both together are bounded."""
    log = tmp_path / "log"
    log.write_bytes(b"x" * (MAX_BYTES + 1))
    note_to_file(log)
    assert log.stat().st_size == 0
    assert (tmp_path / "log.1").stat().st_size == MAX_BYTES + 1


def test_the_state_folder_does_not_grow_for_ever(tmp_path: Path, state: Path) -> None:
    """The oldest logs go, but not that of a run that goes on."""
    state.mkdir(parents=True)
    for number in range(KEPT_FILES + 5):
        path = state / f"run-{number}.log"
        path.write_text("something")
        os.utime(path, (number, number))
    with (state / "run-0.log").open("ab") as of_another_run:
        fcntl.flock(of_another_run, fcntl.LOCK_SH)
        with run_log(tmp_path / "mine", None, tmp_path / "spare"):
            assert len(list(state.iterdir())) == KEPT_FILES + 5
    left = {one.stem for one in state.iterdir()}
    assert "run-0" in left
    assert len(left) == KEPT_FILES + 1


def test_a_log_that_is_removed_is_begun_anew(tmp_path: Path) -> None:
    """Whoever tidies up while a run goes on."""
    note_to_file(tmp_path / "log")
    LOG.warning("before")
    (tmp_path / "log").unlink()
    LOG.warning("after")
    assert "after" in (tmp_path / "log").read_text()


def failing(*_: object) -> None:
    raise ZeroDivisionError("nobody expected this")


def test_a_traceback_is_kept_and_one_line_is_printed(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the program itself: what failed, where its traceback lies, what to do."""
    monkeypatch.setattr(commands, "_rules", failing)
    ran = CliRunner().invoke(commands.app, ["replay", "sim"])
    assert ran.exit_code == 1
    (line,) = ran.stderr.strip().splitlines()
    assert "ZeroDivisionError: nobody expected this" in line
    assert f"please report it, with the end of {state / 'errors.log'}" in line
    assert "in failing" in (state / "errors.log").read_text()


def test_a_traceback_that_cannot_be_kept_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never lost."""
    (tmp_path / "state").write_text("no folder")
    assert keep_traceback(ValueError()) is None
    monkeypatch.setattr(commands, "_rules", failing)
    ran = CliRunner().invoke(commands.app, ["replay", "sim"])
    assert "Traceback" in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("ecg-monitor: the program itself failed")


def test_a_stage_keeps_the_traceback_and_says_its_last_words(tmp_path: Path) -> None:
    """Both: the traceback on standard error, which is the log, one line to the supervisor."""
    signs, pulse = os.pipe()
    code = (
        "import monitor.stages.__main__ as stages\n"
        "def fail(settings): raise ZeroDivisionError('of the stage')\n"
        "stages.run_stage = fail\n"
        "raise SystemExit(stages.main())\n"
    )
    settings = {"stage": "segmenter", "samples": "a", "beats": "b", "wave": "c", "pulse": pulse}
    ran = subprocess.run(
        [*PYTHON, "-c", code],
        input=json.dumps(settings).encode(),
        stderr=subprocess.PIPE,
        env=environment(),
        pass_fds=(pulse,),
        check=False,
    )
    os.close(pulse)
    assert ran.returncode == 1
    assert b"Traceback" in ran.stderr
    assert os.read(signs, 1000).endswith(b"!ZeroDivisionError: of the stage")
    os.close(signs)


def test_standard_error_takes_what_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no file, as in a stage started alone."""
    note_to_stderr()
    LOG.warning("a warning")
    LOG.info("a step")
    assert capsys.readouterr().err.count("\n") == 1


def test_a_stage_that_hangs_leaves_behind_where(tmp_path: Path) -> None:
    """Its supervisor asks before it kills it."""
    code = (
        "import monitor.stages.__main__ as stages, time\n"
        "def hang_here(settings): print('hangs', flush=True); time.sleep(60)\n"
        "stages.run_stage = hang_here\n"
        "stages.main()\n"
    )
    settings = {"stage": "segmenter", "samples": "a", "beats": "b", "wave": "c"}
    with subprocess.Popen(
        [*PYTHON, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as stage:
        assert stage.stdin is not None
        assert stage.stdout is not None
        assert stage.stderr is not None
        stage.stdin.write(json.dumps(settings).encode())
        stage.stdin.close()
        assert stage.stdout.readline() == b"hangs\n"
        stage.send_signal(WHERE_SIGNAL)
        assert any(b"hang_here" in line for line in iter(stage.stderr.readline, b""))
        stage.kill()

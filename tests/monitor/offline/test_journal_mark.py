"""`ecg-monitor mark`: a person's word for the family of an alert in a journal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.checkpoint import Checkpoint
from monitor.cli.app import app
from monitor.delivery.person import person
from monitor.delivery.publisher import Publisher
from monitor.journal.leader import led
from monitor.journal.reader import JournalReader
from monitor.journal.writer import Journal
from monitor.wire.codec import all_encoded
from monitor.wire.messages import Alert, ControlRequest, MarkRequest
from monitor.wire.sockets import Sockets
from tests.messages import alarm
from tests.monitor.detection.test_engine import Bench, beats_message, end
from tests.monitor.detection.test_family_marks import CALM, LEARNT, first_family
from tests.monitor.ports import free_port


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Bench]:
    """Return the bench of a run that is over: alert 1 began an episode of family 1."""
    with ExitStack() as stack:
        bench = Bench(tmp_path, stack)
        engine = bench.engine(LEARNT)
        bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8))
        bench.journal.__exit__(None, None, None)
        yield bench


def marked(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["mark", *(str(one) for one in arguments)])
    return result.exit_code, result.stderr


def marks(path: Path) -> list[tuple[int | None, str]]:
    with JournalReader(path) as journal:
        return [
            (one.family, one.word)
            for one in journal.alerts()
            if isinstance(one, Alert) and one.state == "marked"
        ]


def test_a_word_is_written_where_no_monitor_runs(night: Bench) -> None:
    """The next run goes by it, and numbers its alerts behind it."""
    path = night.folder / "journal"
    assert marked(path, "1", "normal") == (
        0,
        "p: family 1 is normal: it begins and prolongs no alert\n",
    )
    assert marks(path) == [(1, "normal")]
    engine = night.engine(LEARNT)
    assert first_family(engine).word == "normal"
    said = night.step(engine, beats_message([200.0, CALM], 3600), end())
    assert [one for one in said if isinstance(one, Alert)] == []
    kept = [one.seq for one in night.journal.alerts_after(0, 9)]
    assert kept == [*range(1, engine.report().newest_seq + 1)]


def test_a_word_can_be_another_and_undone(night: Bench) -> None:
    """`anomalous` is always to be heard; an alert that ends names the family that began it."""
    path = night.folder / "journal"
    said = [marked(path, "2", word) for word in ("anomalous", "normal", "undo")]
    assert [code for code, _ in said] == [0, 0, 0]
    assert marks(path) == [(1, "always"), (1, "normal"), (1, "")]


@pytest.mark.parametrize(
    ("alert", "word", "why"),
    [
        ("9", "normal", "no alert '9' in this journal"),
        ("1", "fine", "'fine' is no word for a family; give one of normal, anomalous, undo"),
        ("1", "undo", "nothing was said of family 1"),
    ],
)
def test_what_cannot_be_said_is_one_line(night: Bench, alert: str, word: str, why: str) -> None:
    """And nothing is written."""
    code, errors = marked(night.folder / "journal", alert, word)
    assert code != 0
    assert why in errors
    assert errors.count("\n") == 1
    assert marks(night.folder / "journal") == []


def test_a_named_alarm_is_of_no_family(tmp_path: Path) -> None:
    """It is said which alerts are."""
    with Journal(tmp_path / "journal") as journal:
        journal.commit(all_encoded([alarm(seq=1)]), [])
    code, errors = marked(tmp_path / "journal", "1", "normal")
    assert code == 2
    assert "alert 1 is a named alarm (asystole), of no family; give the number of an" in errors


@pytest.mark.parametrize(
    ("verdict", "checkpoint", "why"),
    [
        ("loss", LEARNT, "a run with --verdict loss tells none apart"),
        ("evidence", None, "told apart of learnt patients (--learn 5:00)"),
    ],
)
def test_an_alert_of_no_family_says_why(
    tmp_path: Path, verdict: str, checkpoint: Checkpoint | None, why: str
) -> None:
    """Whoever learnt the patient is not told to do so."""
    with ExitStack() as stack:
        bench = Bench(tmp_path, stack)
        engine = bench.engine(checkpoint, verdict=verdict)
        bench.journal.begin(engine.journaled_run([]))
        bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8))
        bench.journal.__exit__(None, None, None)
        code, errors = marked(tmp_path / "journal", "1", "normal")
    assert code == 2
    assert "alert 1 is of no family: " in errors
    assert why in errors


def test_a_high_alert_that_stands_is_refused_here_too(tmp_path: Path) -> None:
    """A run that was killed during one: it still waits to be acknowledged."""
    with ExitStack() as stack:
        bench = Bench(tmp_path, stack)
        bench.step(bench.engine(LEARNT), beats_message([CALM] * 5 + [300.0] * 6))
        bench.journal.__exit__(None, None, None)
        code, errors = marked(tmp_path / "journal", "1", "normal")
    assert code != 0
    assert "family 1 stands in a high alert that nobody acknowledged before the run ended" in errors
    assert "where the run goes on with this journal" in errors


class Asked(threading.Thread):
    """A monitor's request socket on a journal; it notes what it was asked to carry out."""

    def __init__(self, journal: Path) -> None:
        super().__init__(daemon=True)
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self.requests: list[ControlRequest] = []
        self._journal = journal

    def run(self) -> None:
        with Sockets() as sockets, Journal(self._journal) as journal:
            publisher = Publisher(sockets, self.endpoint, journal, self._carry_out)
            while not self.requests:
                publisher.requests.poll(20)
                publisher.answer_waiting()

    def _carry_out(self, request: ControlRequest) -> str:
        self.requests.append(request)
        return "p: done"


def test_a_monitor_that_writes_the_journal_is_asked_about_it(night: Bench) -> None:
    """It is told which journal the family was seen in, and who says so; its answer is printed."""
    path = night.folder / "journal"
    with JournalReader(path) as journal:
        identity = journal.identity
    with led(path, lambda _: None):
        monitor = Asked(path)
        monitor.start()
        assert marked(path, "1", "anomalous", "--alerts", monitor.endpoint) == (0, "p: done\n")
        monitor.join()
    (request,) = monitor.requests
    assert request == MarkRequest("p", 1, "always", by=person(), journal=identity)


def test_where_a_monitor_is_silent_nothing_is_written(night: Bench) -> None:
    """Never is a journal written behind its monitor's back."""
    path = night.folder / "journal"
    silent = f"tcp://127.0.0.1:{free_port()}"
    with led(path, lambda _: None):
        code, errors = marked(path, "1", "normal", "--alerts", silent)
    assert code != 0
    assert "no answer in 5 s" in errors
    assert marks(path) == []

"""Only the same run goes on in a journal."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from monitor.errors import JournalFailed, JournalMismatch
from monitor.journal.reader import VERSION
from monitor.journal.run import JournaledRun, difference
from monitor.journal.writer import Journal
from monitor.wire.messages import Stream
from tests.monitor.databases import execute

STREAM = Stream("119", "119", ["MLII"], 360.0, 0, 650_000, "9f2c")
RUN = JournaledRun([STREAM], "m1", "loss-1-of-1", None, None, 1.0)


def changed(**fields: object) -> JournaledRun:
    return msgspec.structs.replace(RUN, **fields)


def of(**fields: object) -> JournaledRun:
    return changed(streams=[msgspec.structs.replace(STREAM, **fields)])


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (RUN, None),
        (changed(streams=[]), None),  # a consumer alone does not know what will come
        (changed(model="m2"), "the model was m1 and is now m2"),
        (changed(rules="loss-2-of-3"), "the alert rule was"),
        (changed(threshold=20.0), "--threshold was not given and is now 20.0"),
        (changed(learn_s=300.0), "--learn was not given and is now 300.0"),
        (changed(false_alerts_per_hour=2.0), "--false-alerts-per-hour was 1.0 and is now 2.0"),
        (changed(streams=[STREAM, STREAM]), "its records are 119 MLII"),
        (of(record="208"), "are 208 MLII (360 Hz, 0 s to 1805.56 s, 9f2c)"),
        (of(leads=["MLII", "V1"]), "are 119 MLII, V1"),
        (of(first_sample=360), "1 s to"),
        (of(n_samples=None), "endless"),
        (of(digest="41aa"), "41aa"),
    ],
)
def test_what_decides_the_alerts_is_compared(now: JournaledRun, said: str | None) -> None:
    """Records down to their samples, model, rules and threshold; the message names both."""
    found = difference(RUN, now)
    assert found is None if said is None else said in (found or "")


def test_a_journal_of_a_consumer_alone_takes_no_record_later() -> None:
    """Nobody knows of which record its positions are; a consumer alone goes on in it."""
    alone = changed(streams=[])
    assert "unknown, as a consumer ran alone, those given are 119 MLII" in (
        difference(alone, RUN) or ""
    )
    assert difference(alone, alone) is None


def test_a_journal_keeps_its_run(tmp_path: Path) -> None:
    """The first run is noted; the same goes on, another is refused with the file's name."""
    path = tmp_path / "night.sqlite"
    with Journal(path) as journal:
        journal.begin(RUN)
    with Journal(path) as journal:
        journal.begin(RUN)
        with pytest.raises(JournalMismatch, match=r"night\.sqlite holds another run: the model"):
            journal.begin(changed(model="m2"))


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    """Tables that this version does not know are not written to."""
    path = tmp_path / "night.sqlite"
    execute(path, f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(JournalFailed, match="newer version"):
        Journal(path)

"""What alerts cost: which block an alert is timed from, and what counts as journaling."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from monitor.journal.writer import Journal, Progress
from monitor.wire.codec import all_encoded
from monitor.wire.messages import Alert
from tools.bench_alerts import Commits, Latencies, main
from tools.messages import alert, beat_scored

FS_HZ, MS = 100.0, 1_000_000


def of_beat(r_sample: int, rr_after_ms: float | None = 1000.0) -> Alert:
    return alert(sample=r_sample, rr_after_ms=rr_after_ms, delay_ms=250.0)


def blocks() -> Latencies:
    """Return what was sent: 20 samples every 200 ms from 0 ms on."""
    latencies = Latencies()
    for n in range(20):
        latencies.sent("119", 20 * (n + 1), 200 * n * MS)
    return latencies


def test_an_alert_is_timed_from_the_block_that_ended_its_beat() -> None:
    """The next R at sample 150 is known with sample 175, which left with the block of 1,600 ms."""
    latencies = blocks()
    latencies.take(of_beat(50), FS_HZ, 1_630 * MS)
    latencies.take(beat_scored(), FS_HZ, 1_640 * MS)  # no alert
    assert latencies.alerts_ms == []
    latencies.take(of_beat(150), FS_HZ, 2_650 * MS)
    assert latencies.alerts_ms == [pytest.approx(30.0)]
    assert latencies.percentile_ms(99) == pytest.approx(30.0)


@pytest.mark.parametrize("later", [of_beat(170), of_beat(390)])
def test_an_alert_without_its_next_beat_is_counted_not_guessed(later: Alert) -> None:
    """Neither where a beat between them was withheld, nor where no block holds the sample."""
    latencies = blocks()
    latencies.take(of_beat(290 if later.sample == 390 else 50), FS_HZ, 0)
    latencies.take(later, FS_HZ, 0)
    assert (latencies.alerts_ms, latencies.unmatched) == ([], 1)
    assert math.isnan(latencies.percentile_ms(50))


def test_commits_that_hold_progress_are_measured(tmp_path: Path) -> None:
    """Idle ones before and after are no part of the run; what is committed is unchanged."""
    commits = Commits()
    with Journal(tmp_path / "j") as journal, commits.measured():
        journal.commit([], [], [])
        for seq in (1, 2):
            journal.commit(
                all_encoded([alert(seq=seq, id=str(seq))]), [Progress("p", seq, b"", b"")], []
            )
        assert journal.newest_seq == 2
    assert (commits.n, commits.alerts) == (2, 2)
    assert 0 < commits.wall_s <= commits.end_to_end_s


@pytest.mark.slow
def test_both_are_measured_with_real_stages(capsys: pytest.CaptureFixture[str]) -> None:
    """A few seconds of two patients, and twelve minutes of a record."""
    assert main(["--quick"]) == 0
    said = capsys.readouterr().out
    assert "| 99th percentile, ms |" in said
    assert "| share of the wall time, % |" in said

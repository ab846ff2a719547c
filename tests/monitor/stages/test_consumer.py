"""What the consumer leaves unsaid while it is behind a source that does not wait."""

from __future__ import annotations

from monitor.stages.consumer import SHED_LAG_S, without_late_beats
from monitor.wire.messages import Message
from tools.messages import alert, beat_scored, status, technical

SAID: list[Message] = [beat_scored(), alert(), beat_scored(), technical(), status()]


def test_beats_are_told_while_they_are_in_time() -> None:
    """Nothing is left out of what comes within the limit."""
    assert without_late_beats(SAID, SHED_LAG_S) == SAID


def test_late_beats_are_left_out_and_alerts_never() -> None:
    """What is numbered or the heartbeat is said however late it is."""
    assert without_late_beats(SAID, SHED_LAG_S + 0.1) == [SAID[1], SAID[3], SAID[4]]

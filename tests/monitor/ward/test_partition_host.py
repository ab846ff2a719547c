"""A producer that is down is noticed by the time in which it could have been heard."""

from __future__ import annotations

from monitor.ward.partition_host import SILENT_S, ProducerSilence


def test_a_producer_that_falls_silent_is_named_by_its_patients() -> None:
    """Until something comes again; the others do not count."""
    silence = ProducerSilence()
    senders = {"a": {"119", "200"}, "b": {"x"}}
    silence.heard("a")
    for _ in range(round(SILENT_S) - 1):
        silence.heard("b")
        assert silence.listened(1.0, senders, 3) == ""
    silence.heard("b")
    assert "119, 200" in silence.listened(1.0, senders, 3)
    silence.heard("a")
    assert silence.listened(1.0, senders, 3) == ""


def test_one_whose_patients_have_ended_is_not_missed() -> None:
    """It has nothing to send."""
    silence = ProducerSilence()
    silence.heard("a")
    assert silence.listened(100.0, {"a": set()}, 0) == ""


def test_where_nobody_was_heard_since_the_partition_was_taken_over_it_is_said() -> None:
    """The producer may have died with the worker before."""
    silence = ProducerSilence()
    assert silence.listened(SILENT_S / 2, {}, 2) == ""
    assert "2 patients" in silence.listened(SILENT_S, {}, 2)
    assert ProducerSilence().listened(100.0, {}, 0) == ""

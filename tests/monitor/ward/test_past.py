"""What a ward's stream holds, and what is asked about it, from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.ward.link import WardLink
from monitor.ward.names import WardIdentity, ask_subject
from monitor.ward.past import WardPast
from monitor.wire.codec import decode_request, encode_json
from monitor.wire.messages import Done, MarkRequest, Request, ThresholdRequest
from tests.messages import alarm, alert, technical
from tests.monitor.conformance.stores import STREAM, WardWriter, reached
from tests.monitor.ward.servers import PROGRAM, WardServer, ward_server

ONSET, ALARM = "3f2a9c41aa", "aaaa0000bb"


@pytest.fixture(scope="module")
def ward() -> Iterator[WardServer]:
    """A ward of one partition with three alerts of 119, who is monitored."""
    with ward_server(partitions=1) as server:
        with contextlib.closing(WardWriter(server)) as writer:
            of = {"journal": writer.identity}
            writer.commit(
                [
                    alert(seq=1, id=ONSET, family=7, **of),
                    technical(seq=2, id="3f2a0000", **of),
                    alarm(seq=3, id=ALARM, **of),
                ],
                [reached(4000)],
            )
        yield server


def ask(ward: WardServer, *command: str) -> subprocess.CompletedProcess[str]:
    line = [*PROGRAM, *command, "--ward", ward.access.servers]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def worker(ward: WardServer) -> Iterator[list[Request]]:
    """Answer what is asked of the partition, for the block; the value is what that was."""
    over, ready = threading.Event(), threading.Event()
    asked: list[Request] = []

    async def work(link: WardLink, identity: WardIdentity) -> None:
        async def answer(message: Any) -> None:
            asked.append(decode_request(message.data))
            await link.publish(message.reply, encode_json(Done("it was done")))

        await link.client.subscribe(ask_subject(0), cb=answer)
        await link.client.flush()
        ready.set()
        while not over.is_set():
            await asyncio.sleep(0.02)

    thread = threading.Thread(target=ward.run, args=(work,))
    thread.start()
    try:
        assert ready.wait(30)
        yield asked
    finally:
        over.set()
        thread.join()


def test_alerts_are_found_by_number_and_identity(ward: WardServer) -> None:
    """As in a journal; the run's streams are those of who is monitored."""
    past = WardPast(ward.access)
    assert [one.id for one in past.find("2")] == ["3f2a0000"]
    assert [one.id for one in past.find("3f2a")] == [ONSET, "3f2a0000"]
    assert past.find("3f2") == past.find("?") == []
    assert [one.seq for one in past.alerts(patient="119")] == [1, 2, 3]
    assert list(past.alerts(patient="who")) == []
    assert past.run() is None
    assert past.identity == ward.ward.identity


def test_the_run_of_a_ward_has_the_streams_of_who_is_monitored(ward: WardServer) -> None:
    """By them `--record` finds lead and rate; what decides the alerts is what workers wrote."""
    import msgspec

    from monitor.journal.run import JournaledRun
    from monitor.ward.names import RUN

    run = JournaledRun([], "m1", "", None, None, 1.0)

    async def work(link: WardLink, identity: WardIdentity) -> None:
        await link.ask(RUN, msgspec.json.encode(run))

    with ward_server(partitions=1) as other:
        with contextlib.closing(WardWriter(other)) as writer:
            writer.commit([alert(journal=writer.identity)], [reached(4000)])
        other.run(work)
        found = WardPast(other.access).run()
    assert found == msgspec.structs.replace(run, streams=[STREAM])


def test_an_alert_of_a_ward_is_drawn(ward: WardServer, tmp_path: Path) -> None:
    """Its words and its beat, in a terminal and as a page; what cannot be shown is said."""
    run = ask(ward, "show", "1")
    assert run.returncode == 0, run.stderr
    assert f"identity {ONSET}" in run.stdout
    assert "no beats were kept with it" in run.stdout
    assert "the ward keeps no signal" in ask(ward, "show", ALARM[:5]).stdout
    page = tmp_path / "alert.html"
    assert ask(ward, "show", ONSET, "--html", str(page)).returncode == 0
    assert "<html" in page.read_text()
    for given, words in [
        (["show", "3f2a"], "2 identities begin with '3f2a'"),
        (["show", "9"], "no alert '9' in this ward"),
        (["show"], "with --ward give ALERT alone"),
        (["show", "night.sqlite", "1"], "with --ward give ALERT alone"),
        (["mark", "1"], "with --ward give ALERT and WORD alone"),
        (["mark", "1", "nice"], "'nice' is no word for a family"),
        (["mark", "2", "normal"], "is a technical alert"),
        (["mark", "3", "normal"], "is a named alarm"),
        (["threshold", "119", "5%"], "moves no threshold"),
        (["threshold", "119", "none"], "give a loss, such as 26, or -90% to +900%"),
        (["threshold", "119", ""], "moves no threshold"),
        (["threshold", "119", "-3"], "moves no threshold"),
    ]:
        run = ask(ward, *given)
        assert (run.returncode, run.stdout) == (2, "")
        assert words in run.stderr
        assert len(run.stderr.splitlines()) == 1


def test_a_mark_and_a_threshold_go_to_the_worker(ward: WardServer) -> None:
    """With who says so, and the partition's journal, which is where families are numbered."""
    with worker(ward) as asked:
        for command in (
            ["mark", ONSET[:6], "anomalous", "--by", "Ada"],
            ["threshold", "119", "+5%"],
            ["threshold", "119", "-5%"],
            ["threshold", "119", "26"],
        ):
            run = ask(ward, *command)
            assert (run.returncode, run.stderr) == (0, "it was done\n")
    assert asked == [
        MarkRequest("119", 7, "always", "Ada", ward.ward.journal(0)),
        ThresholdRequest("119", factor=1.05),
        ThresholdRequest("119", factor=0.95),
        ThresholdRequest("119", value=26.0),
    ]
    run = ask(ward, "mark", "1", "normal")
    assert (run.returncode, "nobody serves this patient" in run.stderr) == (1, True)


def test_one_number_in_two_partitions_needs_an_identity() -> None:
    """Each partition numbers its own; it says whose they are."""
    from monitor.ward.ward_journal import WardJournal
    from monitor.wire.codec import all_encoded

    async def work(link: WardLink, identity: WardIdentity) -> None:
        for partition, name in enumerate(("a", "b")):
            journal = WardJournal(link, identity, partition, "test")
            await journal.open()
            said = alert(seq=1, id=f"{partition}a" * 4, patient=name, journal=journal.identity)
            await journal.commit(all_encoded([said]), [], 1, lambda _rows: 1)

    with ward_server(partitions=2) as both:
        both.run(work)
        run = ask(both, "show", "1")
        assert run.returncode == 2
        assert "2 alerts have number 1" in run.stderr
        assert "0a0a0a0a of a, 1a1a1a1a of b" in run.stderr
        assert ask(both, "show", "1a1a").returncode == 0

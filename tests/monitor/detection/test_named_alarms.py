"""Signs in, alerts of named alarms out: their life in an engine, over restarts, beside beats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detection.engine import Engine
from monitor.detection.patient_state import read_saved
from monitor.errors import JournalFailed
from monitor.settings import AlarmRules, Rules
from monitor.wire.messages import (
    ALARM_KINDS,
    AckRequest,
    Alert,
    BeatScored,
    BeatsMessage,
    Message,
    RecordEvent,
    RelearnRequest,
    ShedHeader,
    Technical,
)
from segmenter.beat import Beats
from tests.monitor.checkpoints import beats_of_losses
from tests.monitor.detection.test_engine import STREAM, Bench, Trainer, end, message_of
from tests.monitor.hearts import FS_HZ, KNOWN, Heart

V = True
ALL_OFF = Rules(alarms=AlarmRules(**dict.fromkeys(ALARM_KINDS, "off")))  # type: ignore[arg-type]
STOPS = Heart([*[0.8] * 40, 8.0, *[0.8] * 20], 56)  # 32 to 40 s
RACES = Heart([*[0.8] * 40, *[(0.4, V)] * 12, *[0.8] * 20], 53)  # 32 to 37 s


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def beats_of(heart: Heart, loss: float) -> Beats:
    """Return the beats of a heart: a ventricular one has a loss of 40."""
    r = np.array(heart.r_samples[:-1], np.int64)
    after = np.array(heart.r_samples[1:], np.int64)
    losses = [[40.0 if one else loss] * heart.leads for one in heart.ventricular[:-1]]
    rr_ms = 1000 * np.diff(heart.r_samples) / FS_HZ
    return replace(
        beats_of_losses(losses),
        r_sample=r,
        closed_sample=after + KNOWN,
        rr_before_ms=np.concatenate([[np.nan], rr_ms[:-1]]).astype(np.float32),
        rr_after_ms=rr_ms.astype(np.float32),
    )


def messages_of(
    heart: Heart,
    cuts: Sequence[int] | None = None,
    events: Sequence[RecordEvent] = (),
    loss: float = 5.0,
    **changes: Any,
) -> list[BeatsMessage]:
    """Return what the segmenter sends of a heart, cut at samples; by default each second."""
    beats, stop = beats_of(heart, loss), heart.samples
    ends = [*(range(250, stop, 250) if cuts is None else sorted(set(cuts))), stop]
    messages = []
    for sequence, (a, b) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        closed = np.flatnonzero((beats.closed_sample > a) & (beats.closed_sample <= b))
        now = [one for one in events if a < one.sample <= b]
        values = {"position": b, "sequence": sequence, "leads": [*"IVX"][: heart.leads], **changes}
        message = message_of(beats.rows(closed), now, **values)
        messages.append(message._replace(signs=heart.signs(a, b)))
    return messages


def run(bench: Bench, engine: Engine, messages: Sequence[BeatsMessage]) -> list[Message]:
    return [said for one in messages for said in bench.step(engine, one)]


def alarms(said: Sequence[object]) -> list[tuple[str, str]]:
    """Return what was told of named alarms."""
    of = [one for one in said if isinstance(one, Alert) and one.kind != "anomalous_beats"]
    return [(one.kind, one.state) for one in of]


def test_a_heart_that_stops_is_an_alert(bench: Bench) -> None:
    """Of schema 2, without loss or beat, in plain words; the next beats end it, and it latches."""
    engine = bench.engine()
    said = run(bench, engine, messages_of(STOPS))
    onset, cleared = [one for one in said if isinstance(one, Alert)]
    assert (onset.kind, onset.state, onset.priority, onset.schema) == (
        "asystole", "onset", "high", 2,
    )  # fmt: skip
    assert (onset.loss, onset.ratio, onset.threshold, onset.beat) == (None, None, None, [])
    assert onset.episode_start_sample == pytest.approx(32 * FS_HZ, abs=0.2 * FS_HZ)
    assert 3.5 <= onset.time_s - 32 <= 4.5
    assert onset.text == "asystole: no QRS complex for 3.5 s and more"
    assert (cleared.kind, cleared.state, cleared.priority) == ("asystole", "cleared", "low")
    assert cleared.text == f"asystole is over: {cleared.duration_s:.1f} s"
    (status,) = engine.report().patients
    (stands,) = status.alarms
    assert (stands.kind, stands.lasts, stands.latched) == ("asystole", False, True)
    assert (status.latched, status.alerts) == (True, 1)
    assert engine.report().ward.latched == 1
    assert [one.seq for one in bench.journal.alerts_after(0, 9) if isinstance(one, Alert)] == [
        onset.seq, cleared.seq,
    ]  # fmt: skip


def test_an_alarm_that_lasts_is_in_the_status(bench: Bench) -> None:
    """With the sample at which it began; a heart that stands still has no rate."""
    engine = bench.engine()
    run(bench, engine, messages_of(STOPS)[:38])
    (status,) = engine.report().patients
    (stands,) = status.alarms
    assert (stands.lasts, stands.latched, stands.priority) == (True, True, "high")
    assert stands.since_s == stands.since_sample / FS_HZ == pytest.approx(32, abs=0.2)
    assert status.heart_rate_bpm is None


def test_a_person_acknowledges_what_asks_for_it(bench: Bench) -> None:
    """Each alarm by an alert that names who did; the answer names the patient once."""
    heart = Heart([*[0.8] * 40, 8.0, *[0.8] * 20, *[(0.4, V)] * 12], 60)
    engine = bench.engine()
    run(bench, engine, messages_of(heart))
    assert engine.carry_out(AckRequest("p", by="Ada")) == "acknowledged: p"
    said = bench.step(engine)
    assert {one.by for one in said if isinstance(one, Alert)} == {"Ada"}
    assert alarms(said) == [
        ("asystole", "acknowledged"),
        ("ventricular_tachycardia", "acknowledged"),
    ]
    (status,) = engine.report().patients
    assert [(one.kind, one.latched) for one in status.alarms] == [
        ("ventricular_tachycardia", False)
    ]
    while engine.report().patients[0].latched:  # the episode of beats that began with it
        engine.carry_out(AckRequest("p"))
    with pytest.raises(LookupError, match="nothing to acknowledge"):
        engine.carry_out(AckRequest("p"))
    restarted = bench.restart().report().patients[0]
    assert [(one.kind, one.latched) for one in restarted.alarms] == [
        ("ventricular_tachycardia", False)
    ]


def test_the_end_of_the_record_ends_alarms(bench: Bench) -> None:
    """Once; what latched stays so."""
    engine = bench.engine()
    run(bench, engine, messages_of(STOPS)[:38])
    assert alarms(bench.step(engine, end(9_500))) == [("asystole", "cleared")]
    assert bench.step(engine, end(9_500)) == []
    (status,) = engine.report().patients
    assert (status.state, status.latched, status.inhibited) == ("ended", True, [])
    assert not status.alarms[0].lasts


def test_alarms_come_while_a_patient_is_learnt(bench: Bench) -> None:
    """From the first minute on, and while a training holds the beats."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=20.0)
    said = run(bench, engine, messages_of(RACES))
    assert engine.learner.training
    assert ("ventricular_tachycardia", "onset") in alarms(said)
    trainer.learnt(threshold=26.0)
    later = bench.step(engine)
    assert alarms(later) == []
    # What came while the alarm lasted is explained by it, though it is judged only now.
    began = [one.time_s for one in later if isinstance(one, Alert) and one.state == "onset"]
    assert len(began) == 1
    assert began[0] < 34


def test_a_restart_while_learning_tells_nothing_twice(bench: Bench) -> None:
    """The record is judged from its start again; what was acknowledged is not asked for again."""
    engine = bench.engine(learner=Trainer(), learn_s=300.0)
    run(bench, engine, messages_of(STOPS)[:50])
    engine.carry_out(AckRequest())
    bench.step(engine)
    engine = bench.restart(learner=Trainer(), learn_s=300.0)
    assert alarms(run(bench, engine, messages_of(STOPS))) == []
    assert not engine.report().patients[0].alarms


def test_an_alarm_seen_while_learning_anew_is_not_asked_for_again(bench: Bench) -> None:
    """A restart goes on from where the learning was asked for, with what was seen since."""
    engine = bench.engine(learner=Trainer(), learn_s=300.0)
    bench.step(engine, *messages_of(STOPS))
    engine = bench.restart()
    run(bench, engine, messages_of(STOPS)[:42])
    assert engine.report().patients[0].latched
    engine.carry_out(RelearnRequest())
    bench.step(engine)
    engine.carry_out(AckRequest())
    bench.step(engine)
    assert not bench.restart().report().patients[0].latched


@pytest.mark.parametrize("cut", range(30, 50, 3))
def test_a_restart_in_mid_alarm_loses_and_doubles_nothing(bench: Bench, cut: int) -> None:
    """The segmenter sends some seconds again; the alerts are those of a run that went through."""
    heart, messages = STOPS, messages_of(STOPS)
    engine = bench.engine()
    run(bench, engine, messages[:cut])
    engine.step(messages[cut : cut + 5], 0)  # published, but never committed
    engine = bench.restart()
    run(bench, engine, messages[cut - 3 :])
    bench.step(engine, end(heart.samples))
    kept = bench.journal.alerts_after(0, 100)
    assert alarms(kept) == [("asystole", "onset"), ("asystole", "cleared")]
    assert [one.seq for one in kept] == [*range(1, len(kept) + 1)]
    assert len({one.id for one in kept}) == len(kept)


@pytest.mark.parametrize("seed", range(6))
def test_messages_that_come_again_raise_nothing_twice(bench: Bench, seed: int) -> None:
    """Restarts at any place, any number of messages sent again, cut otherwise each time."""
    chance = np.random.default_rng(seed)
    engine, position, from_sample = bench.engine(), 0, 0
    while position < RACES.samples:
        cuts = chance.integers(1, RACES.samples, 40).tolist()
        coming = [one for one in messages_of(RACES, cuts) if one.header.position > from_sample]
        run(bench, engine, coming[: chance.integers(1, 15)])
        engine.step(coming[15:17], 0)  # published, but never committed
        engine = bench.restart()
        position = engine.report().patients[0].position
        from_sample = max(0, position - int(chance.integers(0, 2000)))
    other = Bench(bench.folder / "undisturbed", bench.stack)
    other.folder.mkdir()
    run(other, other.engine(), messages_of(RACES))
    kept, undisturbed = (one.journal.alerts_after(0, 100) for one in (bench, other))
    assert sorted(one.id for one in kept) == sorted(one.id for one in undisturbed)
    assert alarms(kept) == alarms(undisturbed)


HEARTS = [
    STOPS,
    RACES,
    Heart([*[0.8] * 40, 12.0, *[0.8] * 20], 60, fibrillates=[(34, 43)], leads=2, off=[(55, 60)]),
]
EVENTS = [
    RecordEvent("no_beat", "onset", 9_000),
    RecordEvent("no_beat", "cleared", 10_000),
    RecordEvent("no_beat", "onset", 12_000),
    RecordEvent("no_beat", "cleared", 12_100),
]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2), st.lists(st.integers(1, 14_000), max_size=60))
def test_the_cut_into_messages_does_not_matter(which: int, cuts: list[int]) -> None:
    """Any cut of the stream gives the same messages, but for their numbers."""
    heart = HEARTS[which]
    inner = [cut for cut in cuts if cut < heart.samples]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        said = []
        for name, chosen in (("a", inner), ("b", None)):
            path = Path(folder) / name
            path.mkdir()
            bench = Bench(path, stack)
            engine = bench.engine()
            messages = messages_of(heart, chosen, EVENTS)
            told = [one for message in messages for one in engine.step([message], 0).messages]
            told += engine.step([end(heart.samples)], 0).messages
            said.append(sorted(map(_plain, told), key=str))
    assert said[0] == said[1]


def _plain(message: Message) -> Message:
    if isinstance(message, Alert | Technical):
        return msgspec.structs.replace(message, journal="", seq=0)
    return message


# --- beside beats -----------------------------------------------------------------------------


def episodes(said: Sequence[object]) -> list[tuple[float, str]]:
    of = [one for one in said if isinstance(one, Alert) and one.kind == "anomalous_beats"]
    return [(one.time_s, one.state) for one in of]


def test_beats_that_an_alarm_explains_begin_no_alert(bench: Bench) -> None:
    """They are published as anomalous and counted; without named alarms each would be told."""
    said = run(bench, bench.engine(), messages_of(RACES))
    ringing = [one.time_s for one in said if isinstance(one, Alert) and one.state == "onset"
               and one.kind in ("ventricular_run", "ventricular_tachycardia")]  # fmt: skip
    assert [at for at, _ in episodes(said) if min(ringing) + 1 < at < 40] == []
    beats = [one for one in said if isinstance(one, BeatScored) and one.anomalous]
    assert len(beats) == 12
    other = Bench(bench.folder / "off", bench.stack)
    other.folder.mkdir()
    said = run(other, other.engine(rules=ALL_OFF), messages_of(RACES))
    assert len([state for _, state in episodes(said) if state != "cleared"]) == 12
    assert alarms(said) == []


def test_an_episode_that_a_run_began_ends_with_its_alarm(bench: Bench) -> None:
    """Its first beats come before there are enough for the alarm: a person hears of one thing."""
    said = run(bench, bench.engine(), messages_of(RACES))
    ringing = min(one.time_s for one in said if isinstance(one, Alert) and one.state == "onset"
                  and one.kind in ("ventricular_run", "ventricular_tachycardia"))  # fmt: skip
    told = episodes(said)
    assert [state for _, state in told if state in ("onset", "cleared")] == ["onset", "cleared"]
    assert told[0][0] < told[-1][0] < ringing + 1  # its R peak; the run lasts three seconds more


def test_an_irregular_rhythm_absorbs_beats_whose_time_alone_is_odd(bench: Bench) -> None:
    """A beat of another shape in it is still an alert."""
    uneven = [float(one) for one in np.random.default_rng(0).uniform(0.45, 1.1, 200)]
    intervals: list[float | tuple[float, bool]] = [*[0.8] * 30, *uneven]
    intervals[200] = (uneven[170], V)
    heart = Heart(intervals, 175)
    said = run(bench, bench.engine(), messages_of(heart, loss=22.0))
    (irregular,) = [one for one in said if isinstance(one, Alert) and one.kind in ALARM_KINDS]
    from_s = irregular.time_s + 2
    odd = [one for one in said if isinstance(one, BeatScored) and one.anomalous]
    assert len([one for one in odd if one.time_s > from_s]) > 3
    began = [at for at, state in episodes(said) if at > from_s and state == "onset"]
    assert began == [heart.r_samples[200] / FS_HZ]


# --- beside technical alerts ------------------------------------------------------------------


def technical(said: Sequence[object], event: str) -> list[tuple[str, int]]:
    of = [one for one in said if isinstance(one, Technical) and one.event == event]
    return [(one.state, one.sample) for one in of]


def test_asystole_takes_the_place_of_no_beat(bench: Bench) -> None:
    """No beat for 4 s is one or the other: an asystole where the signal is quiet."""
    said = run(bench, bench.engine(), messages_of(STOPS, None, EVENTS))
    assert technical(said, "no_beat") == [("onset", 12_000), ("cleared", 12_100)]
    assert alarms(said)[0] == ("asystole", "onset")


@pytest.mark.parametrize("rules", [Rules(), ALL_OFF, Rules(alarms=AlarmRules(asystole="off"))])
def test_no_beat_stays_where_it_is_no_asystole(bench: Bench, rules: Rules) -> None:
    """Complexes that no detector takes for beats, or no alarm that could say more."""
    seen = STOPS if "asystole" not in rules.alarms.on else Heart([0.8] * 70, 56)
    silent = replace_beats(messages_of(seen, None, EVENTS), 32.0, 40.0)
    said = run(bench, bench.engine(rules=rules), silent)
    assert technical(said, "no_beat") == [(one.state, one.sample) for one in EVENTS]


def replace_beats(
    messages: list[BeatsMessage], start_s: float, stop_s: float
) -> list[BeatsMessage]:
    """Return the messages without the beats of a stretch; signs stay."""
    kept = []
    for one in messages:
        r = one.beats.r_sample / FS_HZ
        rows = np.flatnonzero((r < start_s) | (r > stop_s))
        header = msgspec.structs.replace(one.header, n_beats=len(rows))
        kept.append(one._replace(header=header, together=one.beats.rows(rows), first=0))
    return kept


@pytest.mark.parametrize(
    ("event", "inhibits"),
    [
        ("lead_off", list(ALARM_KINDS)),
        ("signal_lost", list(ALARM_KINDS)),
        (
            "noisy",
            ["asystole", "extreme_tachycardia", "extreme_bradycardia", "pause", "tachycardia",
             "bradycardia", "irregular_rhythm"],
        ),
        ("two_senders", []),
    ],
)  # fmt: skip
def test_technical_alerts_name_what_they_inhibit(
    bench: Bench, event: Any, inhibits: list[str]
) -> None:
    """While one lasts the status names it, too; what ends it inhibits nothing."""
    onset, cleared = RecordEvent(event, "onset", 7_600), RecordEvent(event, "cleared", 8_900)
    messages = messages_of(Heart([0.8] * 60, 47), None, [onset, cleared])
    engine = bench.engine()
    said = run(bench, engine, messages[:34])
    (first,) = [one for one in said if isinstance(one, Technical)]
    assert first.inhibits == inhibits
    assert engine.report().patients[0].inhibited == inhibits
    (last,) = [one for one in run(bench, engine, messages[34:]) if isinstance(one, Technical)]
    assert last.inhibits == []
    assert engine.report().patients[0].inhibited == []


def test_one_lead_of_two_inhibits_asystole_alone(bench: Bench) -> None:
    """It shares its electrodes; the rate and the shapes are read in the other."""
    left_out = RecordEvent("lead_left_out", "onset", 8_000, ["V"])
    engine = bench.engine()
    engine.expect([msgspec.structs.replace(STREAM, leads=["I", "V"])])
    messages = messages_of(Heart([0.8] * 60, 36, leads=2, off=[(32, 40)]), None, [left_out])
    said = run(bench, engine, messages)
    (left,) = [one for one in said if isinstance(one, Technical) and one.event == "lead_left_out"]
    assert left.inhibits == ["asystole"]
    assert engine.report().patients[0].inhibited == ["asystole"]


def test_what_is_off_is_not_inhibited(bench: Bench) -> None:
    """Nobody waits for it."""
    engine = bench.engine(rules=Rules(alarms=AlarmRules(asystole="off")))
    off = RecordEvent("lead_off", "onset", 500)
    said = run(bench, engine, messages_of(Heart([0.8] * 20, 4), None, [off]))
    (first,) = [one for one in said if isinstance(one, Technical)]
    assert first.inhibits == [kind for kind in ALARM_KINDS if kind != "asystole"]
    other = Bench(bench.folder / "off", bench.stack)
    other.folder.mkdir()
    engine = other.engine(rules=ALL_OFF)
    run(other, engine, messages_of(Heart([0.8] * 20, 4), None, [off]))
    assert engine.report().patients[0].inhibited == []


def test_of_a_patient_who_is_shed_nothing_can_be_told(bench: Bench) -> None:
    """Nor of one of whom nothing has come yet."""
    engine = bench.engine()
    run(bench, engine, messages_of(Heart([0.8] * 60, 40)))
    assert engine.report().patients[0].inhibited == []
    engine.shed(ShedHeader(5, "p", "r", 0, 0, 10_000, ["I"], FS_HZ))
    assert engine.report().patients[0].inhibited == list(ALARM_KINDS)


def test_samples_that_begin_anew_go_on(bench: Bench) -> None:
    """A source that counts from 0 again: alarms of the new stretch lie behind those of the old."""
    engine = bench.engine()
    first = run(bench, engine, messages_of(STOPS))
    again = run(bench, engine, messages_of(STOPS, stretch=1))
    assert alarms(first) == alarms(again) == [("asystole", "onset"), ("asystole", "cleared")]
    of = [one for one in again if isinstance(one, Alert) and one.kind == "asystole"]
    assert all(one.sample > STOPS.samples for one in of)


@pytest.mark.parametrize(
    "damage",
    [
        {"reached": -5},
        {"reached": 1 << 60},
        {"usual_per_minute": float("inf")},
        {"history": [[1, ["asystole"], -1]] * 2000},
        {"told": {"sneeze": {"since_sample": 1, "onset_sample": 1}}},
        {"watch": {"leads": [{"usual_mv": [float("nan")]}]}},
        {"rhythm": {"beats": {"beats": [{"r_sample": "x"}]}}},
    ],
)
def test_absurd_states_are_refused(bench: Bench, damage: dict[str, Any]) -> None:
    """A patient who goes on from them would be judged by them without a word."""
    run(bench, bench.engine(), messages_of(STOPS))
    (reached,) = bench.journal.progress()
    assert read_saved(reached.consumer_state, 140).alarms.told
    plain = msgspec.msgpack.decode(reached.consumer_state)
    plain["alarms"] |= damage
    with pytest.raises(JournalFailed, match="state of a patient"):
        read_saved(msgspec.msgpack.encode(plain), 140)


def test_a_journal_of_before_there_were_named_alarms_is_read(bench: Bench) -> None:
    """They begin with the signal that comes."""
    run(bench, bench.engine(), messages_of(STOPS))
    (reached,) = bench.journal.progress()
    plain = msgspec.msgpack.decode(reached.consumer_state)
    del plain["alarms"]
    assert read_saved(msgspec.msgpack.encode(plain), 140).alarms.reached == -1

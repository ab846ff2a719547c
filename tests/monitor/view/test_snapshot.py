"""The state of the live view and its update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.view import snapshot as limits
from monitor.view import waveform as waveforms
from monitor.view.patient_view import MAX_BEATS, MAX_TECHNICAL, MAX_TEXT, PatientView
from monitor.view.snapshot import Snapshot, apply, follow, with_notice, with_pause, with_silence
from monitor.wire.messages import (
    ALARM_KINDS,
    MAX_BEAT_LENGTH,
    MAX_FAMILIES,
    FamilyStatus,
    Message,
)
from tests.monitor.view.scenes import (
    WAVE_HZ,
    after,
    alarm,
    alert,
    beat,
    monitoring_scene,
    patient_status,
    standing,
    status,
    technical,
    ward_scene,
    wave,
)

KNOWN = status(patient_status(0))  # waves have a place once the record's rate is known


def only(snapshot: Snapshot) -> PatientView:
    """Return the one patient of a snapshot."""
    (patient,) = snapshot.patients.values()
    return patient


def test_the_old_snapshot_stays_as_it_was() -> None:
    """An update returns a new snapshot and shares the patients it does not speak of."""
    before = ward_scene()
    names = list(before.patients)
    n_beats = len(before.patients[names[0]].beats)
    after_one = apply(before, beat(90_000, patient=names[0]))
    assert len(before.patients[names[0]].beats) == n_beats
    assert len(after_one.patients[names[0]].beats) == n_beats + 1
    assert after_one.patients[names[1]] is before.patients[names[1]]


def test_what_cannot_be_changed() -> None:
    """The mapping of patients and the waveform are read-only."""
    scene = monitoring_scene(5)
    with pytest.raises(TypeError):
        scene.patients["x"] = PatientView("x")  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        only(scene).waveform.values[0] = 1.0


# --- the waveform -----------------------------------------------------------------------------


def test_waves_are_joined_in_order() -> None:
    """Stretches that follow each other become one signal."""
    scene = after([KNOWN, wave(1000, [1, 2, 3]), wave(1006, [4, 5], [1002])])
    waveform = only(scene).waveform
    assert waveform.values.tolist() == [1, 2, 3, 4, 5]
    assert (waveform.first_index, waveform.end_index) == (500, 505)
    assert waveform.r_indices == (501,)


def test_a_hole_between_waves_is_missing_signal() -> None:
    """Values never received, and values that are null, are NaN and never zero."""
    waveform = only(after([KNOWN, wave(0, [1, None]), wave(10, [6])])).waveform
    np.testing.assert_array_equal(waveform.values, [1, np.nan, np.nan, np.nan, np.nan, 6])


def test_a_rounding_of_one_value_is_no_hole() -> None:
    """A stretch that begins at an odd sample of the record joins without a gap."""
    waveform = only(after([KNOWN, wave(0, [1, 2]), wave(6, [3]), wave(9, [4])])).waveform
    assert not np.isnan(waveform.values).any()
    assert waveform.values.tolist() == [1, 2, 3, 4]


def test_what_is_told_again_after_a_restart_replaces() -> None:
    """An overlap is not drawn twice."""
    waveform = only(after([KNOWN, wave(0, [1, 2, 3, 4]), wave(4, [7, 8, 9])])).waveform
    assert waveform.values.tolist() == [1, 2, 7, 8, 9]


def test_r_peaks_alone_leave_the_signal() -> None:
    """A stretch without values only marks beats; marks outside the signal are dropped."""
    scene = after([KNOWN, wave(0, [1, 2, 3]), wave(0, [], [2, 4, 900_000])])
    waveform = only(scene).waveform
    assert waveform.values.tolist() == [1, 2, 3]
    assert waveform.r_indices == (1, 2)


def test_a_wave_of_an_unknown_patient_waits_for_its_rate() -> None:
    """Before the first status the place of a wave is not known; it is not guessed."""
    assert len(only(after([wave(0, [1, 2])])).waveform.values) == 0


def test_another_rate_begins_a_new_signal() -> None:
    """Values of two rates are never mixed."""
    waveform = only(after([KNOWN, wave(0, [1, 2]), wave(4, [3], fs_hz=250.0)])).waveform
    assert waveform.values.tolist() == [3]
    assert waveform.fs_hz == 250.0


def test_the_signal_kept_is_bounded() -> None:
    """Twelve seconds are kept; a jump ahead by years takes no memory."""
    long = [wave(2 * i, [float(i % 7)] * 1000) for i in range(0, 20_000, 1000)]
    scene = after([KNOWN, *long])
    assert len(only(scene).waveform.values) == waveforms.WAVE_S * WAVE_HZ
    jumped = only(after([wave((1 << 53) - 1, [1.0])], scene)).waveform
    assert len(jumped.values) == waveforms.WAVE_S * WAVE_HZ
    assert np.isnan(jumped.values[:-1]).all()
    fast = only(after([KNOWN, *(wave(i, [0.0] * 4096, fs_hz=1e5) for i in range(5))])).waveform
    assert len(fast.values) <= waveforms.MAX_WAVE_VALUES


@pytest.mark.parametrize("value", [1e308, -1e308])
def test_absurd_values_are_clipped(value: float) -> None:
    """What float32 cannot hold does not become infinite."""
    assert np.isfinite(only(after([KNOWN, wave(0, [value])])).waveform.values).all()


# --- beats and alerts -------------------------------------------------------------------------


def test_beats_are_kept_in_order_and_bounded() -> None:
    """The newest are kept; a beat told again counts once."""
    scene = after([beat(100 * n) for n in range(MAX_BEATS + 50)])
    assert len(only(scene).beats) == MAX_BEATS
    assert apply(scene, beat(100 * (MAX_BEATS + 49))) is scene


@pytest.mark.parametrize(
    ("changes", "withheld", "learning"),
    [
        ({"loss": 9.0}, False, False),
        ({"loss": None, "quality": ["NOISY"]}, True, False),
        ({"loss": None, "threshold": None}, False, True),
        ({"loss": 7.0, "threshold": None}, False, True),
    ],
)
def test_a_beat_without_a_loss_is_withheld_unless_it_is_learnt(
    changes: dict[str, Any], withheld: bool, learning: bool
) -> None:
    """No threshold means learning; no loss beside a threshold means not judged."""
    (scored,) = only(after([beat(100, **changes)])).beats
    assert (scored.is_withheld, scored.is_learning) == (withheld, learning)


def test_an_episode_is_one_row() -> None:
    """Onset, ongoing and cleared change one row, which keeps its time and its highest ratio."""
    episode: dict[str, Any] = {"episode_start_sample": 100}
    scene = after([alert(100, seq=1, ratio=1.6, **episode)])
    assert only(scene).episode == scene.rows[0]
    scene = after([alert(300, "ongoing", 2, ratio=3.0, episode_beats=2, **episode)], scene)
    scene = after([alert(500, "ongoing", 3, ratio=1.2, episode_beats=3, **episode)], scene)
    (row,) = scene.rows
    assert (row.state, row.n_beats, row.ratio, row.time_s) == ("ongoing", 3, 3.0, 0.4)
    assert only(scene).episode == row
    latest = only(scene).latest
    assert latest is not None
    assert latest.sample == 500
    scene = after([alert(900, "cleared", 4, ratio=0.4, episode_beats=3, **episode)], scene)
    assert (scene.rows[0].state, scene.rows[0].ratio) == ("cleared", 3.0)
    assert only(scene).episode is None
    assert only(scene).latest == latest


def test_an_alert_told_again_changes_nothing() -> None:
    """A replay of missed alerts may overlap with what is known."""
    scene = after([alert(100, "onset", 1), alert(100, "cleared", 2)])
    assert apply(scene, alert(100, "onset", 1)) is scene


def test_a_new_journal_counts_anew() -> None:
    """After the journal was replaced, number 1 is news and not a repetition."""
    scene = after([alert(100, seq=50)])
    scene = after([alert(100, seq=1, journal="other")], scene)
    assert [row.seq for row in scene.rows] == [50, 1]
    assert scene.newest_seq == 1


def test_the_alert_list_is_bounded() -> None:
    """The oldest rows are forgotten."""
    scene = after([alert(100 * n, seq=n) for n in range(limits.MAX_ROWS + 30)])
    assert len(scene.rows) == limits.MAX_ROWS
    assert scene.rows[-1].seq == limits.MAX_ROWS + 29


def test_a_technical_alert_lasts_until_it_is_cleared() -> None:
    """It is one row, and stands at its patient meanwhile."""
    scene = after([technical(100, seq=1), technical(200, seq=2, event="noisy")])
    assert [lasting.event for lasting in only(scene).technical] == ["lead_off", "noisy"]
    scene = after([technical(900, "cleared", seq=3)], scene)
    assert [lasting.event for lasting in only(scene).technical] == ["noisy"]
    assert [(row.event, row.state, row.time_s) for row in scene.rows] == [
        ("lead_off", "cleared", 0.4),
        ("noisy", "onset", 0.8),
    ]


def test_the_same_technical_alert_again_is_a_new_row() -> None:
    """A lead that comes off twice is two events."""
    scene = after([technical(100, seq=1), technical(200, "cleared", seq=2), technical(300, seq=3)])
    assert [row.state for row in scene.rows] == ["cleared", "onset"]


def test_the_status_says_what_lasts() -> None:
    """A view that joined late learns of it; what the status no longer names has ended."""
    scene = after([status(patient_status(0, technical=["lead_off"]))])
    assert [lasting.event for lasting in only(scene).technical] == ["lead_off"]
    scene = after([technical(100), status(patient_status(0, technical=["lead_off"]))])
    assert only(scene).technical[0].time_s == 0.4
    assert only(after([status(patient_status(0))], scene)).technical == ()


# --- the whole --------------------------------------------------------------------------------


def test_patients_are_bounded_and_the_refused_counted() -> None:
    """A sender of endless names fills no memory, and it shows."""
    names = [f"p{n}" for n in range(limits.MAX_PATIENTS + 20)]
    scene = after([beat(1, patient=name) for name in names])
    assert (len(scene.patients), scene.n_refused) == (limits.MAX_PATIENTS, 20)
    scene = after([status(*(patient_status(0, patient=name) for name in names))], scene)
    assert (len(scene.patients), scene.n_refused) == (limits.MAX_PATIENTS, 40)


def test_who_has_ended_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Admissions fill no view: those who ended leave it when others need the room."""
    monkeypatch.setattr("monitor.view.snapshot.MAX_PATIENTS", 3)
    ended = [patient_status(0, patient=name, state="ended") for name in "ab"]
    scene = after([status(*ended, patient_status(0, patient="c"))])
    assert list(scene.patients) == ["a", "b", "c"]
    scene = after([status(patient_status(0, patient="d"), patient_status(0, patient="c"))], scene)
    assert (list(scene.patients), scene.n_refused) == (["b", "c", "d"], 0)
    more = [patient_status(0, patient=name) for name in "ef"]
    scene = after([status(*more)], scene)
    assert (list(scene.patients), scene.n_refused) == (["c", "d", "e"], 1)


def test_beats_of_a_ward_are_bounded() -> None:
    """Of patients whose alerts are long over the beat is forgotten; the alert is not."""
    names = [f"p{n}" for n in range(limits.MAX_WITH_BEAT + 20)]
    scene = after([alert(1, seq=n, patient=name) for n, name in enumerate(names)])
    kept = [name for name in names if scene.patients[name].latest is not None]
    assert kept == names[20:]
    assert scene.patients["p0"].episode is not None
    again = after([alert(1, "ongoing", seq=9_000, patient="p20", episode_start_sample=1)], scene)
    assert again.with_beat[-1] == "p20"


def test_an_episode_whose_row_is_forgotten_goes_on() -> None:
    """It keeps its beginning and its highest ratio; the list has it again."""
    others = [alert(1, seq=n + 2, patient=f"p{n}") for n in range(limits.MAX_ROWS)]
    scene = after([alert(100, seq=1, ratio=5.0), *others])
    again = alert(900, "ongoing", seq=9_000, ratio=2.0, episode_start_sample=100)
    row = after([again], scene).rows[-1]
    assert (row.patient, row.time_s, row.ratio) == ("119", 0.4, 5.0)


def test_signal_of_others_than_the_followed_is_passed_over() -> None:
    """Also where a topic stands for names that begin with it."""
    both = after([status(patient_status(0, patient="p1"), patient_status(0, patient="p10"))])
    scene = follow(both, "p1")
    assert after([wave(0, [1, 2], patient="p10"), beat(9, patient="p10")], scene) is scene
    heard = after([wave(0, [1, 2], patient="p1"), beat(9, patient="p1")], scene).patients["p1"]
    assert (len(heard.waveform.values), len(heard.beats)) == (2, 1)


def test_free_text_is_bounded() -> None:
    """A megabyte of note, text or model is not kept."""
    long = "x" * 1_000_000
    scene = after(
        [
            status(patient_status(0, note=long, technical=[long] * 500), model=long, journal=long),
            technical(1, text=long, journal=long),
            alert(2, seq=2, beat=[0.0] * 100_000, journal=long),
            beat(3, quality=[long] * 500),
        ]
    )
    patient = only(with_notice(scene, long))
    latest = patient.latest
    assert latest is not None
    assert len(latest.beat) == MAX_BEAT_LENGTH
    texts = [patient.note, scene.model, scene.journal, *patient.beats[0].quality]
    texts += [text for row in scene.rows for text in (row.text, row.journal)]
    texts += [text for lasting in patient.technical for text in (lasting.event, lasting.text)]
    assert max(map(len, texts)) <= MAX_TEXT
    assert len(patient.technical) <= MAX_TECHNICAL + 1
    assert len(patient.beats[0].quality) <= MAX_TECHNICAL


def test_setting_what_is_set_returns_the_same_snapshot() -> None:
    """Nothing is redrawn for nothing."""
    scene = with_silence(with_notice(with_pause(Snapshot(), True), "hello"), 5.0)
    assert (scene.paused, scene.notice, scene.silent_s) == (True, "hello", 5.0)
    assert with_pause(scene, True) is scene
    assert with_notice(scene, "hello") is scene
    assert with_silence(scene, 5.0) is scene


def test_stages_stand_in_the_order_of_the_data() -> None:
    """Whoever spoke first: producer, segmenter, consumer."""
    said = status(patient_status(0))
    shuffled = after([status(stages=said.stages[::-1])])
    assert [stage.stage for stage in shuffled.stages] == ["producer", "segmenter", "consumer"]


def test_a_status_ends_the_silence() -> None:
    """A word of the consumer is a word."""
    assert apply(with_silence(Snapshot(), 9.0), KNOWN).silent_s == 0.0


SAMPLES = st.integers(0, 1 << 53)
NAMES = st.sampled_from(["a", "b"])
MESSAGES = st.one_of(
    st.builds(lambda s, p, x: beat(s, x, patient=p), SAMPLES, NAMES, st.none() | st.floats(0, 1e9)),
    st.builds(
        lambda s, p, state, q: alert(s, state, q, patient=p),
        SAMPLES,
        NAMES,
        st.sampled_from(["onset", "ongoing", "cleared"]),
        st.integers(0, 50),
    ),
    st.builds(
        lambda s, p, state, q: technical(s, state, q, patient=p),
        SAMPLES,
        NAMES,
        st.sampled_from(["onset", "cleared"]),
        st.integers(0, 50),
    ),
    st.builds(
        lambda s, p, kind, state, q: alarm(
            s, state, q, patient=p, kind=kind, episode_start_sample=s // 2
        ),
        SAMPLES,
        NAMES,
        st.sampled_from(ALARM_KINDS),
        st.sampled_from(["onset", "cleared", "acknowledged"]),
        st.integers(0, 50),
    ),
    st.builds(lambda s, p: status(patient_status(s, patient=p)), SAMPLES, NAMES),
    st.builds(
        lambda s, p, v, r: wave(s, v, r, patient=p),
        SAMPLES | st.integers(0, 2000),
        NAMES,
        st.lists(st.none() | st.floats(-1e300, 1e300), max_size=20),
        st.lists(st.integers(-(1 << 62), 1 << 62), max_size=5),
    ),
)


def test_a_named_alarm_stands_from_its_onset_until_it_was_seen() -> None:
    """At once, not with the next heartbeat; it leaves beat and episode as they were."""
    scene = after([status(patient_status(0)), alert(9000, seq=1), alarm(9500, seq=2)])
    patient = only(scene)
    (asystole,) = patient.alarms
    assert (asystole.kind, asystole.priority, asystole.since_s) == ("asystole", "high", 34.5)
    assert (asystole.lasts, asystole.latched, patient.standing) == (True, True, "high")
    assert patient.episode is not None
    assert patient.episode.kind == "anomalous_beats"
    assert patient.latest is not None
    over = after([alarm(9900, "cleared", seq=3, episode_start_sample=8625)], scene)
    (asystole,) = only(over).alarms
    assert (asystole.lasts, asystole.latched, only(over).standing) == (
        False,
        True,
        "unacknowledged",
    )
    seen = after([alarm(9950, "acknowledged", seq=4, episode_start_sample=8625)], over)
    assert only(seen).alarms == ()
    early = after([alarm(9600, "acknowledged", seq=3, episode_start_sample=8625)], scene)
    assert [(one.lasts, one.latched) for one in only(early).alarms] == [(True, False)]
    ended = after([alarm(9900, "cleared", seq=4, episode_start_sample=8625)], early)
    assert only(ended).alarms == ()


def test_a_named_alarm_that_asks_for_nothing_is_gone_when_it_is_over() -> None:
    """Of medium or low priority."""
    pause: dict[str, Any] = {"kind": "pause", "priority": "medium", "episode_start_sample": 8000}
    scene = after([status(patient_status(0)), alarm(9000, seq=1, **pause)])
    assert only(scene).standing == "medium"
    over = after([alarm(9500, "cleared", seq=2, **pause)], scene)
    assert only(over).alarms == ()
    assert only(over).standing == "quiet"


def test_the_heartbeat_says_which_alarms_stand() -> None:
    """Its word replaces what was heard; two kinds that began together are two rows."""
    both: dict[str, Any] = {"episode_start_sample": 8000}
    scene = after([alarm(9000, seq=1, **both), alarm(9000, seq=2, kind="pause", **both)])
    assert [row.kind for row in scene.rows] == ["asystole", "pause"]
    said = [standing("pause", 32.0, "medium"), standing("asystole", 32.0)]
    told = only(after([status(patient_status(9100, alarms=said, inhibited=["pause"]))], scene))
    assert [one.kind for one in told.alarms] == ["asystole", "pause"]
    assert told.inhibited == ("pause",)
    assert only(after([status(patient_status(9200))], scene)).alarms == ()


def test_an_alert_of_beats_without_a_loss_is_a_row_and_draws_no_beat() -> None:
    """Whatever another sender says."""
    scene = after([status(patient_status(0)), alert(9000, seq=1, loss=None, ratio=None)])
    assert [row.ratio for row in scene.rows] == [None]
    assert only(scene).latest is None


@settings(max_examples=60, deadline=None)
@given(st.lists(MESSAGES, max_size=40))
def test_any_messages_in_any_order_keep_the_bounds(messages: list[Message]) -> None:
    """Whatever comes, in whatever order, the state stays whole."""
    scene = after(messages)
    assert len(scene.rows) <= limits.MAX_ROWS
    for patient in scene.patients.values():
        waveform = patient.waveform
        assert len(waveform.values) <= waveforms.WAVE_S * waveform.fs_hz
        assert all(waveform.first_index <= i < waveform.end_index for i in waveform.r_indices)
        samples = [scored.sample for scored in patient.beats]
        assert samples == sorted(set(samples))
        assert (patient.episode is None) or patient.episode.is_open
        assert len({one.kind for one in patient.alarms}) == len(patient.alarms)
        assert all(one.lasts or one.latched for one in patient.alarms)


def test_families_stay_as_last_told() -> None:
    """A heartbeat may tell none of them, or no shapes; an empty list takes them away."""
    told = [FamilyStatus(1, 5, shape=[0, 100])]
    snapshot = after([status(patient_status(0, families=told))])
    snapshot = after([status(patient_status(250))], snapshot)
    assert snapshot.patients["119"].families == tuple(told)
    later = [FamilyStatus(1, 6, word="normal"), FamilyStatus(2, 1)]
    snapshot = after([status(patient_status(500, families=later))], snapshot)
    first, second = snapshot.patients["119"].families
    assert (first.beats, first.word, first.shape, second.shape) == (6, "normal", [0, 100], [])
    snapshot = after([status(patient_status(750, families=[]))], snapshot)
    assert snapshot.patients["119"].families == ()


def test_families_are_bounded() -> None:
    """Whatever a heartbeat holds."""
    told = [FamilyStatus(number, 1) for number in range(1, 100)]
    snapshot = after([status(patient_status(0, families=told))])
    assert len(snapshot.patients["119"].families) == MAX_FAMILIES


def test_a_person_s_word_is_no_alert_of_the_list() -> None:
    """The patient's families say it."""
    before = after([alert(100)])
    assert after([alert(200, "marked", seq=2, family=1)], before).rows == before.rows

"""Several leads of a patient: the laws that hold for one hold for all of them together."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segmenter.bank import MAGIC, SegmenterBank
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidSignal, InvalidState
from segmenter.pool import SegmenterPool
from segmenter.state import pack, unpack
from segmenter.stream import Segmented, Segmenter
from tests.segmenter.gather import gather, segment
from tests.segmenter.hard_leads import hard_leads
from tests.segmenter.synthetic import ecg, regular
from tests.segmenter.test_bank import gathered, mixture
from tests.segmenter.test_stream import TROUBLED

FS_HZ = 250.0
SECONDS = 40
R_S = regular(0.8, SECONDS)
CLEAN = np.stack([ecg(FS_HZ, R_S, SECONDS, seed=1), 0.5 * ecg(FS_HZ, R_S, SECONDS, seed=2)])
TWO = np.stack([TROUBLED, np.roll(TROUBLED, 1700)])
TWO_WHOLE = segment(TWO, FS_HZ)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, TWO.shape[1]), max_size=60))
def test_any_cut_gives_the_same_to_the_bit(cuts: list[int]) -> None:
    """Beats, events and seconds of two troubled leads do not depend on the cuts."""
    assert segment(TWO, FS_HZ, cuts).same_as(TWO_WHOLE)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 999), min_size=2, max_size=3), st.integers(0, 2**32 - 1))
def test_any_cut_of_any_mixture_gives_the_same(seeds: list[int], seed: int) -> None:
    """Whatever the leads hold: the same in any cut, R peaks in order, values finite."""
    leads = np.stack([mixture(one, 6000) for one in seeds])
    g = np.random.default_rng(seed)
    cuts = g.integers(0, leads.shape[1], size=g.integers(0, 30)).tolist()
    whole = segment(leads, FS_HZ)
    assert segment(leads, FS_HZ, cuts).same_as(whole)
    assert np.all(np.diff(whole.r_samples) > 0)
    assert np.isfinite(whole.beats.values).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
@example(39, 2)  # a beat that one lead finds by looking back from another that it found late
@example(39, 5)
@example(110, 5)  # a lead falls asleep while its last beat waits for the others
def test_any_cut_of_leads_that_change_gives_the_same(seed: int, leads: int) -> None:
    """Live blocks of 200 ms, with a restart now and then, give what one update gives."""
    signals, fs_hz = hard_leads(seed, 125.0, 60.0, leads), 125.0
    segmenter, said = Segmenter(fs_hz, BeatSpec(), leads, measure_signs=True), []
    for k in range(0, signals.shape[1], 25):
        said.append(segmenter.update(signals[:, k : k + 25]))
        if k % 1000 == seed % 40 * 25:
            segmenter = Segmenter.from_bytes(segmenter.to_bytes())
    live = gather([*said, segmenter.flush()], leads=leads)
    assert live.same_as(segment(signals, fs_hz))
    assert len(set(live.signs.complexes["r_sample"])) == len(live.signs.complexes)


def test_single_samples_give_the_same_to_the_bit() -> None:
    """One sample an update gives what one update gives."""
    short = TWO[:, 2500:5500]
    assert segment(short, FS_HZ, range(1, short.shape[1])).same_as(segment(short, FS_HZ))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, TWO.shape[1]), min_size=1, max_size=8))
def test_saving_and_restoring_changes_nothing(cuts: list[int]) -> None:
    """Restored from bytes at any sample it goes on to the bit, and saves the same bytes."""
    segmenter, said = Segmenter(FS_HZ, BeatSpec(), 2, measure_signs=True), []
    for piece in np.split(TWO, sorted(cuts), axis=1):
        said.append(segmenter.update(piece))
        state = segmenter.to_bytes()
        segmenter = Segmenter.from_bytes(state)
        assert segmenter.to_bytes() == state
    assert gather([*said, segmenter.flush()], leads=2).same_as(TWO_WHOLE)


@pytest.mark.parametrize("lost", [0, 3, 40, 480, 520, 3000, 7000])
def test_a_gap_equals_as_many_nans(lost: int) -> None:
    """gap(n) is n NaN in every lead to the bit, in what it says and in the state it leaves."""
    said: list[list[Segmented]] = []
    states = []
    for by_gap in (True, False):
        segmenter = Segmenter(FS_HZ, BeatSpec(), 2, measure_signs=True)
        parts = [segmenter.update(TWO[:, :2900])]
        hole = np.full((2, lost), np.nan)
        parts.append(segmenter.gap(lost) if by_gap else segmenter.update(hole))
        parts.append(segmenter.update(TWO[:, 2900:5000]))
        said.append(parts)
        states.append(segmenter.to_bytes())
    assert states[0] == states[1]
    assert gather(said[0], leads=2).same_as(gather(said[1], leads=2))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 999), min_size=4, max_size=4), st.lists(st.integers(0, 6000)))
def test_a_row_gives_what_it_gives_alone(seeds: list[int], cuts: list[int]) -> None:
    """In a bank of two patients of two leads each says what it says alone."""
    signals = np.stack([mixture(seed, 6000) for seed in seeds]).reshape(2, 2, -1)
    bank = SegmenterBank(2, FS_HZ, BeatSpec(), leads=2, measure_signs=True)
    said = [bank.update(piece) for piece in np.split(signals, sorted(cuts), axis=2)]
    said.append(bank.flush())
    for row, leads in enumerate(signals):
        assert gathered(said, row, leads=2).same_as(segment(leads, FS_HZ))


def test_patients_come_and_go_in_a_pool() -> None:
    """A pool of patients of two leads says of each what a segmenter of its own says."""
    pool = SegmenterPool(FS_HZ, BeatSpec(), leads=2, measure_signs=True)
    rows = [pool.add() for _ in range(3)]
    alone = Segmenter(FS_HZ, BeatSpec(), 2, measure_signs=True)
    alone.update(TWO[:, :1234])
    pool.update(rows, np.stack([TWO[:, :1000]] * 3))
    pool.remove(rows[1])
    assert pool.add() == rows[1]
    pool.restore(rows[1], alone.to_bytes())
    assert pool.position(rows[1]) == 1234
    found = pool.update([rows[1], rows[0]], np.stack([TWO[:, 1234:4000], TWO[:, 1000:3766]]))
    expected = alone.update(TWO[:, 1234:4000])
    assert found.r_samples(0) == expected.r_samples.tolist()
    assert found.events[0] == list(expected.events)
    assert pool.to_bytes(rows[1]) == alone.to_bytes()
    assert pool.room == 4


def digest(signal: np.ndarray) -> str:
    """Return a digest of all that a segmenter says of a lead in whole numbers."""
    whole = segment(signal, FS_HZ)
    columns = whole.beats.r_sample, whole.beats.quality, whole.beats.closed_sample
    said = [column.tolist() for column in (*columns, whole.r_samples, whole.seconds_quality)]
    events = [(event.kind, event.state, event.sample) for event in whole.events]
    return hashlib.sha256(repr((said, events)).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("signal", "expected"),
    [(TROUBLED, "aad21003f22a9a93"), (mixture(7, 20000), "301ad65c4ed5e3ed")],
    ids=["troubled", "mixture"],
)  # fmt: skip
def test_one_lead_gives_what_it_gave_before_there_were_more(
    signal: np.ndarray, expected: str
) -> None:
    """Beats, their flags and closing, seconds and events are those of the revision before."""
    assert digest(signal) == expected


def test_every_lead_is_cut_at_the_same_r() -> None:
    """A beat's values are those of each lead; standardised, a lead of half the height is alike."""
    whole = segment(CLEAN, FS_HZ)
    assert whole.beats.values.shape == (len(R_S), 2, 140)
    assert whole.beats.lead_quality.shape == (len(R_S), 2)
    good = whole.beats.lead_judgeable.all(axis=1)
    assert good.sum() > 40
    np.testing.assert_allclose(whole.beats.values[good, 0], whole.beats.values[good, 1], atol=0.5)


def test_a_hole_in_one_lead_is_of_that_lead_only() -> None:
    """One lost sample of a lead: its window is missing; the beat is judged by the other lead."""
    leads = CLEAN.copy()
    leads[1, round(R_S[20] * FS_HZ) + 20] = np.nan
    beats = segment(leads, FS_HZ).beats
    at = int(np.argmin(np.abs(beats.r_sample / FS_HZ - R_S[20])))
    assert beats.lead_judgeable[at].tolist() == [True, False]
    assert beats.judgeable[at]
    assert not beats.values[at, 1].any()
    assert beats.values[at, 0].any()


# --- a lead that fails ------------------------------------------------------------------------


def failed(kind: str, lead: int) -> np.ndarray:
    """Return a minute and a half of two leads, of which one fails from 30 s to 60 s."""
    r_s = regular(0.8, 90)
    leads = np.stack([ecg(FS_HZ, r_s, 90, seed=1), -0.5 * ecg(FS_HZ, r_s, 90, seed=2)])
    during = slice(round(30 * FS_HZ), round(60 * FS_HZ))
    n = during.stop - during.start
    g = np.random.default_rng(5)
    leads[lead, during] = {
        "flat": np.full(n, 0.3),
        "rail": np.full(n, 5.0),
        "lost": np.full(n, np.nan),
        "noise": 0.7 * g.normal(size=n),
    }[kind]
    return leads


@pytest.mark.parametrize("kind", ["flat", "rail", "lost", "noise"])
@pytest.mark.parametrize("lead", [0, 1])
def test_a_lead_that_fails_is_left_out_and_said(kind: str, lead: int) -> None:
    """Every beat is found by the other lead, at the same R; the patient's signal is good."""
    whole = segment(failed(kind, lead), FS_HZ)
    expected = np.round(regular(0.8, 90) * FS_HZ)
    assert len(whole.r_samples) == len(expected)
    moved_s = np.abs(whole.r_samples - expected) / FS_HZ
    failing = (expected > 29 * FS_HZ) & (expected < 34 * FS_HZ)  # it is not yet left out
    assert moved_s[~failing].max() < 0.02
    assert moved_s.max() < 0.15
    said = [(e.kind, e.state, e.leads) for e in whole.events]
    assert said == [("lead_left_out", "onset", (lead,)), ("lead_left_out", "cleared", (lead,))]
    onset_s, cleared_s = (e.sample / FS_HZ for e in whole.events)
    assert abs(onset_s - 30) <= 3
    assert abs(cleared_s - 60) <= 3
    during = (whole.r_samples > 36 * FS_HZ) & (whole.r_samples < 58 * FS_HZ)
    lead_judgeable = whole.beats.lead_judgeable[during]
    assert not lead_judgeable[:, lead].any()
    assert lead_judgeable[:, 1 - lead].all()
    assert whole.beats.judgeable[during].all()
    assert not whole.seconds_quality.any()


def test_a_lead_that_fails_for_seconds_is_not_reported() -> None:
    """Left out of the beats it is; reported is what lasts, and the same for being back."""
    r_s = regular(0.8, 120)
    leads = np.stack([ecg(FS_HZ, r_s, 120, seed=1), -0.5 * ecg(FS_HZ, r_s, 120, seed=2)])
    for start_s, stop_s in ((20, 26), (30, 36), (50, 70), (75, 80), (84, 92)):
        leads[1, round(start_s * FS_HZ) : round(stop_s * FS_HZ)] = np.nan
    whole = segment(leads, FS_HZ)
    assert [(e.kind, e.state) for e in whole.events] == [
        ("lead_left_out", "onset"),
        ("lead_left_out", "cleared"),
    ]
    assert [round(e.sample / FS_HZ) for e in whole.events] == [50, 92]
    during = (whole.r_samples > 21 * FS_HZ) & (whole.r_samples < 25 * FS_HZ)
    assert not whole.beats.lead_judgeable[during, 1].any()
    cuts = range(0, leads.shape[1], 311)
    assert segment(leads, FS_HZ, cuts).events == whole.events


def test_a_lead_that_turns_is_reported_as_before_a_restart() -> None:
    """What lasts is counted on from the state."""
    leads = failed("lost", 1)
    at = round(36 * FS_HZ)  # it is lost, and not yet reported
    before = Segmenter(FS_HZ, BeatSpec(), 2)
    before.update(leads[:, :at])
    after = Segmenter.from_bytes(before.to_bytes())
    events = after.update(leads[:, at : round(58 * FS_HZ)]).events
    assert [(e.state, round(e.sample / FS_HZ)) for e in events] == [("onset", 30)]


def test_leads_that_all_fail_are_the_patients_event() -> None:
    """Nothing is left out where nothing is left: the signal is lost, and comes back."""
    leads = failed("lost", 0)
    leads[1, round(45 * FS_HZ) : round(50 * FS_HZ)] = np.nan
    events = [(e.kind, e.state, e.leads) for e in segment(leads, FS_HZ).events]
    assert events == [
        ("lead_left_out", "onset", (0,)),
        ("signal_lost", "onset", ()),
        ("signal_lost", "cleared", ()),
        ("lead_left_out", "cleared", (0,)),
    ]


@pytest.mark.parametrize(("values", "kind"), [((0.3, 5.0), "lead_off"), ((np.nan, 0.3), "lead_off"),
                                              ((np.nan, np.nan), "signal_lost")])  # fmt: skip
def test_an_event_of_the_patient_says_the_mildest(values: tuple[float, float], kind: str) -> None:
    """Two leads that fail at once, each in its way, are one event, and no lead is left out."""
    leads = CLEAN.copy()
    leads[:, 4000:6500] = np.array(values)[:, None]
    events = [(e.kind, e.state) for e in segment(leads, FS_HZ).events if not e.leads]
    assert events == [(kind, "onset"), (kind, "cleared")]


def test_asystole_under_a_noisy_second_lead_is_a_pause() -> None:
    """The first lead shows that the heart stands still; P waves of the second one are no beats."""
    r_s = np.concatenate((np.arange(0.5, 15, 0.8), np.arange(25, 39, 0.8)))
    leads = np.stack([ecg(FS_HZ, r_s, SECONDS, seed=1), ecg(FS_HZ, r_s, SECONDS, seed=2)])
    p_waves = 0.1 * ecg(FS_HZ, np.arange(15.3, 24, 0.8), SECONDS, noise_mv=0.0)
    leads[1] += p_waves
    whole = segment(leads, FS_HZ)
    during = (whole.r_samples > 15.2 * FS_HZ) & (whole.r_samples < 24.8 * FS_HZ)
    assert during.sum() == 0
    assert [(e.kind, e.state) for e in whole.events] == [
        ("no_beat", "onset"),
        ("no_beat", "cleared"),
    ]


def test_beats_that_one_lead_does_not_show_are_found() -> None:
    """Every third complex is hardly there in the first lead; none is missed."""
    r_s = regular(0.8, 60)
    weak = np.arange(len(r_s)) % 3 == 2
    first = ecg(FS_HZ, r_s[~weak], 60, seed=1) + 0.1 * ecg(FS_HZ, r_s[weak], 60, 0.0)
    whole = segment(np.stack([first, ecg(FS_HZ, r_s, 60, seed=2)]), FS_HZ)
    assert len(whole.r_samples) == len(r_s)
    assert np.abs(whole.r_samples / FS_HZ - r_s).max() < 0.02


def test_noise_of_one_lead_gives_no_beats() -> None:
    """Two seconds of noise now and then in the second lead: no beat is invented, none is missed."""
    g, r_s = np.random.default_rng(7), regular(0.8, 60)
    leads = np.stack([ecg(FS_HZ, r_s, 60, seed=1), ecg(FS_HZ, r_s, 60, seed=2)]).astype(float)
    for start in (2500, 5000, 7500, 10000):
        smooth = np.convolve(g.normal(size=500), np.ones(5) / 5, "same")
        leads[1, start : start + 500] += 1.2 * smooth
    whole = segment(leads, FS_HZ)
    assert len(whole.r_samples) == len(r_s)
    assert np.abs(whole.r_samples / FS_HZ - r_s).max() < 0.02


def test_twelve_leads() -> None:
    """A beat of twelve leads is found though three of them fail."""
    r_s = regular(0.8, 30)
    leads = np.stack([ecg(FS_HZ, r_s, 30, seed=k) * (-1) ** k for k in range(12)])
    leads[3, 2500:] = np.nan
    leads[5, 2500:] = 0.0
    leads[7, 2500:] = np.random.default_rng(1).normal(size=5000)
    whole = segment(leads, FS_HZ)
    assert len(whole.r_samples) == len(r_s)
    assert {e.leads for e in whole.events} == {(3,), (5,), (7,)}
    assert whole.beats.values.shape == (len(r_s), 12, 140)


# --- hostile input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunk", [np.zeros(5), np.zeros((3, 5)), np.zeros((2, 5), complex), np.zeros((1, 2, 5))]
)
def test_chunks_of_another_shape_are_refused(chunk: Any) -> None:
    """A chunk has as many leads as the segmenter."""
    with pytest.raises(InvalidSignal, match="shape"):
        Segmenter(FS_HZ, BeatSpec(), 2, measure_signs=True).update(chunk)


def saved() -> tuple[dict[str, Any], dict[str, Any]]:
    segmenter = Segmenter(FS_HZ, BeatSpec(), 2, measure_signs=True)
    segmenter.update(TWO[:, :2300])
    return unpack(MAGIC, segmenter.to_bytes())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trust", []),
        ("trust", [None, None]),
        ("trust", [{}, {}]),
        ("out", [0, 1]),
        ("away", [[0.5], []]),
        ("away", [[10**6], []]),
        ("leading", 2),
        ("waiting", [[5, []]]),
        ("waiting", [7]),
        ("waiting", [[10**9, [[0, [1, 2, False, False, 1, 0.1, 0]]]]]),
        ("last_r", 10**9),
        ("last_peak", -2),
        ("rr", [0]),
        ("rr", ["x"]),
        ("passed", [[2, [1, 2, False, False, 1, 0.1, 0]]]),
        ("passed", [[0, []]]),
        ("overdue", None),
    ],
)
def test_a_joiner_out_of_bounds_is_refused(name: str, value: object) -> None:
    """A well-formed state with one absurd value in what joins the leads is refused."""
    plain, arrays = saved()
    assert name in plain["joiner"]
    plain["joiner"][name] = value
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(pack(MAGIC, plain, arrays))


@pytest.mark.parametrize(
    ("name", "value"),
    [("missed", 1.5), ("invented", None), ("present", 1), ("heights", ["x"]), ("peaks", [[1]]),
     ("echoes", [[1, 2, 3]]), ("echoes", [[1, 2, 1e300, 4]])],
)  # fmt: skip
def test_a_lead_out_of_bounds_is_refused(name: str, value: object) -> None:
    """So is one in what is known of a lead."""
    plain, arrays = saved()
    assert name in plain["joiner"]["trust"][1]
    plain["joiner"]["trust"][1][name] = value
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(pack(MAGIC, plain, arrays))


@pytest.mark.parametrize("turned", [[-1], [-2, -1], [-1, 10**9], ["x", -1]])
def test_a_lead_that_turned_out_of_bounds_is_refused(turned: list[Any]) -> None:
    """It turned at a sample that came, or is as it was reported."""
    plain, arrays = saved()
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(pack(MAGIC, plain | {"turned_from": turned}, arrays))


@pytest.mark.parametrize("name", ["joiner", "good_seconds", "left_out", "leads"])
def test_a_part_that_is_missing_is_refused(name: str) -> None:
    """Each part of a state of two leads is there."""
    plain, arrays = saved()
    del plain[name]
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(pack(MAGIC, plain, arrays))


@pytest.mark.parametrize("leads", [0, 65])
def test_an_absurd_number_of_leads_is_refused(leads: int) -> None:
    """A patient has at least one lead, and not more than a body has places for."""
    with pytest.raises(InvalidSignal, match="leads given"):
        Segmenter(FS_HZ, BeatSpec(), leads, measure_signs=True)


def test_a_state_of_another_number_of_leads_is_refused() -> None:
    """A bank has patients of one number of leads."""
    state = Segmenter(FS_HZ, BeatSpec(), 2, measure_signs=True).to_bytes()
    with pytest.raises(InvalidState, match="2 leads"):
        SegmenterBank(1, FS_HZ, BeatSpec(), measure_signs=True).restore(0, state)

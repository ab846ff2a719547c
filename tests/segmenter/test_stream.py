import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segmenter.bank import HISTORY_S
from segmenter.beat import BeatSpec, Quality
from segmenter.errors import InvalidSignal, InvalidState
from segmenter.stream import Segmenter
from tests.segmenter.gather import gather, segment
from tests.segmenter.hard_leads import hard_leads
from tests.segmenter.synthetic import ecg, regular

FS_HZ = 250.0
SECONDS = 40.0
R_S = regular(0.8, SECONDS)


def troubled() -> np.ndarray:
    """Return a lead with every trouble: lost samples, short and long gaps, lead off, noise."""
    signal = ecg(FS_HZ, R_S, SECONDS)
    signal[1000] = np.nan
    signal[2000:2060] = np.inf
    signal[3000:3700] = np.nan
    signal[4500:5200] = 0.4
    signal[6500:7500] += np.random.default_rng(3).normal(size=1000).astype(np.float32)
    signal[8500:] *= 10
    return signal


TROUBLED = troubled()
TROUBLED_WHOLE = segment(TROUBLED, FS_HZ)


def near(found: np.ndarray, expected_s: np.ndarray, fs_hz: float = FS_HZ) -> bool:
    """Tell whether the same beats were found, each within 20 ms."""
    return len(found) == len(expected_s) and bool(np.all(np.abs(found / fs_hz - expected_s) < 0.02))


# --- the chunking law -------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(TROUBLED)), max_size=60))
def test_any_cut_gives_the_same_to_the_bit(cuts: list[int]) -> None:
    """Beats, events and seconds do not depend on the cuts; empty chunks are fine."""
    assert segment(TROUBLED, FS_HZ, cuts).same_as(TROUBLED_WHOLE)


def test_single_samples_give_the_same_to_the_bit() -> None:
    """One sample an update gives what one update gives."""
    short = TROUBLED[:2500]
    assert segment(short, FS_HZ, range(1, len(short))).same_as(segment(short, FS_HZ))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, len(TROUBLED)), min_size=1, max_size=8))
def test_saving_and_restoring_changes_nothing(cuts: list[int]) -> None:
    """Restored from bytes at any sample it goes on to the bit, and saves the same bytes."""
    segmenter, said = Segmenter(FS_HZ, BeatSpec(), measure_signs=True), []
    for piece in np.split(TROUBLED, sorted(cuts)):
        said.append(segmenter.update(piece))
        state = segmenter.to_bytes()
        segmenter = Segmenter.from_bytes(state)
        assert segmenter.to_bytes() == state
    assert gather([*said, segmenter.flush()]).same_as(TROUBLED_WHOLE)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_a_gap_equals_as_many_nans(before: int, lost: int) -> None:
    """gap(n) is update of n NaN to the bit, in what it says and in the state it leaves."""
    by_gap, by_nan = (
        Segmenter(FS_HZ, BeatSpec(), measure_signs=True),
        Segmenter(FS_HZ, BeatSpec(), measure_signs=True),
    )
    rest = TROUBLED[before : before + 2000]
    first = [
        by_gap.update(TROUBLED[:before]),
        by_gap.gap(lost),
        by_gap.update(rest),
    ]
    second = [
        by_nan.update(TROUBLED[:before]),
        by_nan.update(np.full(lost, np.nan)),
        by_nan.update(rest),
    ]
    assert gather(first).same_as(gather(second))
    assert by_gap.to_bytes() == by_nan.to_bytes()


def test_a_gap_of_years_takes_no_time() -> None:
    """A gap of 10^12 samples passes at once and leaves a small state that still works."""
    segmenter = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    segmenter.update(ecg(FS_HZ, R_S, SECONDS))
    said = segmenter.gap(10**12)
    assert [(e.kind, e.state) for e in said.events] == [("signal_lost", "onset")]
    assert segmenter.position == 10**12 + int(SECONDS * FS_HZ)
    found = segmenter.update(ecg(FS_HZ, R_S, SECONDS)).r_samples
    assert near(found - 10**12 - int(SECONDS * FS_HZ), R_S)


def test_the_state_stays_small() -> None:
    """The state is of the size of ten seconds of signal, however long the stream was."""
    segmenter = Segmenter(360.0, BeatSpec(), measure_signs=True)
    for minute in range(5):
        segmenter.update(ecg(360.0, regular(0.5, 60), 60, seed=minute))
        assert len(segmenter.to_bytes()) < 8 * HISTORY_S * 360


# --- what it finds ----------------------------------------------------------------------------


@pytest.mark.parametrize("fs_hz", [100.0, 128.0, 250.0, 360.0, 500.0, 999.5, 2000.0])
def test_every_beat_is_found_at_every_sampling_rate(fs_hz: float) -> None:
    """R peaks lie within 20 ms of where they were put, also those of the learning time."""
    r_s = regular(0.8, 20)
    assert near(segment(ecg(fs_hz, r_s, 20), fs_hz).r_samples, r_s, fs_hz)


@pytest.mark.parametrize("rr_s", [0.3, 0.4, 0.6, 1.0, 1.5])
def test_every_beat_is_found_at_every_heart_rate(rr_s: float) -> None:
    """From 40 to 200 beats a minute nothing is missed or invented."""
    r_s = regular(rr_s, 30)
    assert near(segment(ecg(FS_HZ, r_s, 30), FS_HZ).r_samples, r_s)


@pytest.mark.parametrize("scale", [0.05, 0.2, 5.0, 1000.0, -1.0])
def test_scale_and_sign_do_not_matter(scale: float) -> None:
    """The same beats are found in microvolts, in a small lead, and upside down."""
    signal = ecg(FS_HZ, R_S, SECONDS) * np.float32(scale)
    assert near(segment(signal, FS_HZ).r_samples, R_S)


def test_an_offset_and_a_slow_drift_do_not_matter() -> None:
    """Electrode potentials shift the baseline, not the beats."""
    drift = 100 + np.sin(2 * np.pi * 0.2 * np.arange(SECONDS * FS_HZ) / FS_HZ)
    assert near(segment(ecg(FS_HZ, R_S, SECONDS) + drift, FS_HZ).r_samples, R_S)


def test_mains_hum_does_not_matter() -> None:
    """50 Hz of a third of the R peak leaves the beats where they are."""
    hum = 0.3 * np.sin(2 * np.pi * 50 * np.arange(SECONDS * FS_HZ) / FS_HZ)
    assert near(segment(ecg(FS_HZ, R_S, SECONDS) + hum, FS_HZ).r_samples, R_S)


def test_delay_is_within_300_ms_and_told() -> None:
    """After learning, a beat is sure 300 ms after R, and was not said before that."""
    signal = ecg(FS_HZ, R_S, SECONDS)
    segmenter = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    said_at = {}
    for start in range(0, len(signal), 5):
        for r in segmenter.update(signal[start : start + 5]).r_samples:
            said_at[int(r)] = segmenter.position
    beats = segment(signal, FS_HZ).beats
    learnt = (beats.quality & Quality.LEARNING) == 0
    assert beats.delay_ms[learnt].max() <= 300
    assert learnt.sum() > 40
    for r, delay_ms in zip(beats.r_sample.tolist(), beats.delay_ms.tolist(), strict=True):
        assert 0 < said_at[r] - r - delay_ms * FS_HZ / 1e3 <= 5.01


def test_what_is_known_later_is_marked_late() -> None:
    """Of weak beats, some held as possible P waves and some looked for: LATE is over 300 ms."""
    g = np.random.default_rng(5)
    weak = g.random(len(R_S)) < 0.3
    r_s = R_S - 0.15 * (g.random(len(R_S)) < 0.2)
    heights = np.where(weak, g.uniform(0.2, 0.9, len(R_S)), 1.0)
    signal = sum(h * ecg(FS_HZ, r_s[[k]], SECONDS, 0.002, k) for k, h in enumerate(heights))
    beats = segment(np.asarray(signal), FS_HZ).beats
    late = (beats.quality & Quality.LATE) != 0
    np.testing.assert_array_equal(late, beats.delay_ms > 300)
    learnt = (beats.quality & Quality.LEARNING) == 0
    assert 1 <= (late & learnt).sum() <= 6
    assert beats.judgeable[late & learnt].any()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(123)  # found by looking back from beats that were themselves found late
@example(147)
@example(201)
def test_no_beat_is_known_before_it_was_reported(seed: int) -> None:
    """However late a beat is found: its delay, and LATE, are those of the update that told R."""
    signal, fs_hz = hard_leads(seed, 125.0, 60.0, 1), 125.0
    segmenter = Segmenter(fs_hz, BeatSpec())
    reported: dict[int, int] = {}
    for k in range(0, signal.shape[1], 25):
        found = segmenter.update(signal[:, k : k + 25])
        reported |= dict.fromkeys(found.r_samples.tolist(), k)
    beats = segment(signal, fs_hz).beats
    known = beats.r_sample + np.round(beats.delay_ms * fs_hz / 1e3).astype(int)
    begins = np.array([reported[r_sample] for r_sample in beats.r_sample.tolist()])
    assert np.all((begins <= known) & (known < begins + 25))
    assert np.all(((beats.quality & Quality.LATE) > 0) == (beats.delay_ms > 300))


def test_beats_leave_when_the_next_r_is_known() -> None:
    """The beat is there in the update that makes the next R known."""
    segmenter = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    signal, said = ecg(FS_HZ, R_S, SECONDS), []
    for start in range(0, len(signal), 25):
        out = segmenter.update(signal[start : start + 25])
        said += out.r_samples.tolist()
        if len(out.beats):
            assert out.beats.r_sample[-1] == said[-2]


def test_rr_intervals_go_along() -> None:
    """RR before and after are the distances to the neighbours; NaN at both ends of the stream."""
    beats = segment(ecg(FS_HZ, R_S, SECONDS), FS_HZ).beats
    assert np.isnan(beats.rr_before_ms[0])
    assert np.isnan(beats.rr_after_ms[-1])
    np.testing.assert_array_equal(beats.rr_before_ms[1:], beats.rr_after_ms[:-1])
    np.testing.assert_allclose(beats.rr_before_ms[1:], np.diff(beats.r_sample) * 4.0)


# --- loss and return --------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [10.0, 0.1, -1.0])
def test_recovers_within_3_s_from_a_change_of_gain_or_sign(gain: float) -> None:
    """Tenfold either way, or inverted: all beats from 3 s after the change on, and no other."""
    signal = ecg(FS_HZ, R_S, SECONDS)
    signal[5000:] *= np.float32(gain)
    found = segment(signal, FS_HZ).r_samples
    assert near(found[found > 5750], R_S[R_S > 23])
    assert len(found) <= len(R_S) + 1


@pytest.mark.parametrize(("value", "kind"), [(0.3, "lead_off"), (5.12, "lead_off"),
                                             (np.nan, "signal_lost")])  # fmt: skip
def test_recovers_within_3_s_from_lead_off_and_loss(value: float, kind: str) -> None:
    """Ten seconds flat, railed or lost: told with onset and end, no beats, back in 3 s."""
    signal = ecg(FS_HZ, R_S, SECONDS)
    signal[4000:6550] = value
    whole = segment(signal, FS_HZ)
    assert [(e.kind, e.state) for e in whole.events] == [(kind, "onset"), (kind, "cleared")]
    onset, cleared = (e.sample for e in whole.events)
    assert abs(onset - 4000) <= FS_HZ
    assert abs(cleared - 6550) <= FS_HZ
    found = whole.r_samples
    assert not np.any((found > 4050) & (found < 6500))
    assert near(found[found > 6550 + 750], R_S[R_S > 26.2 + 3])


def test_asystole_is_a_pause() -> None:
    """Ten seconds of small noise give no beats but a no_beat event, and beats go on after."""
    r_s = np.concatenate((np.arange(0.5, 15, 0.8), np.arange(25, 39, 0.8)))
    whole = segment(ecg(FS_HZ, r_s, SECONDS, noise_mv=0.02), FS_HZ)
    assert near(whole.r_samples, r_s)
    assert [(e.kind, e.state) for e in whole.events] == [
        ("no_beat", "onset"),
        ("no_beat", "cleared"),
    ]
    assert whole.events[0].sample / FS_HZ - 15 < 5


def test_noise_is_told_and_gives_no_storm() -> None:
    """20 s of noise as high as the beats: told, few beats in it, all withheld, then back."""
    signal = ecg(FS_HZ, regular(0.8, 60), 60)
    signal[5000:10000] += 0.7 * np.random.default_rng(1).normal(size=5000).astype(np.float32)
    whole = segment(signal, FS_HZ)
    noisy = [e for e in whole.events if e.kind == "noisy"]
    assert (noisy[0].state, noisy[-1].state) == ("onset", "cleared")
    assert noisy[0].sample <= 5000 + 5 * FS_HZ
    later = (whole.r_samples > 6250) & (whole.r_samples < 9900)
    assert later.sum() <= 12
    inside = (whole.beats.r_sample > 6250) & (whole.beats.r_sample < 9900)
    assert not whole.beats.judgeable[inside].any()
    after = regular(0.8, 60)
    assert near(whole.r_samples[whole.r_samples > 10750], after[after > 43])


@pytest.mark.parametrize("seed", range(3))
def test_beats_made_of_short_noise_are_withheld(seed: int) -> None:
    """Two seconds of noise are too short for an event: what is invented in them is not judged."""
    g, r_s = np.random.default_rng(seed), regular(0.8, 60)
    signal = ecg(FS_HZ, r_s, 60).astype(np.float64)
    for start in (2500, 5000, 7500, 10000):
        smooth = np.convolve(g.normal(size=500), np.ones(5) / 5, "same")
        signal[start : start + 500] += 1.2 * smooth
    beats = segment(signal, FS_HZ).beats
    invented = np.abs(beats.r_sample[:, None] / FS_HZ - r_s).min(axis=1) > 0.1
    assert invented.sum() >= 8
    assert (invented & beats.judgeable).sum() <= 2
    assert beats.judgeable.mean() > 0.6


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("white", "noisy"),
        ("mains", "no_beat"),
        ("constant", "lead_off"),
        ("squares", "lead_off"),
        ("lost", "signal_lost"),
    ],
)
def test_no_beats_out_of_no_heart(name: str, kind: str) -> None:
    """A minute without a heart gives no beats and one lasting event that says why."""
    n = int(60 * FS_HZ)
    t = np.arange(n) / FS_HZ
    signal = {
        "white": np.random.default_rng(0).normal(size=n),
        "mains": np.sin(2 * np.pi * 50 * t),
        "constant": np.full(n, 1.7),
        "squares": 32767 * np.sign(np.sin(2 * np.pi * 1.3 * t + 0.1)),
        "lost": np.full(n, np.nan),
    }[name]
    whole = segment(signal, FS_HZ)
    assert len(whole.r_samples) == 0
    assert [(e.kind, e.state) for e in whole.events] == [(kind, "onset")]


def test_seconds_carry_their_quality() -> None:
    """Every second that ends is told, with the flag of what is wrong in it."""
    signal = ecg(FS_HZ, R_S, SECONDS)
    signal[2500:3000] = np.nan
    signal[5000:5500] = 0.0
    whole = segment(signal, FS_HZ)
    np.testing.assert_array_equal(whole.seconds, np.arange(SECONDS))
    wrong = {int(s): Quality(int(q)) for s, q in
             zip(whole.seconds, whole.seconds_quality, strict=True) if q}  # fmt: skip
    assert wrong == {10: Quality.MISSING, 11: Quality.MISSING, 20: Quality.FLAT, 21: Quality.FLAT}


def test_a_window_with_a_gap_is_marked_not_cut() -> None:
    """One lost sample marks its beat MISSING with zeros; the beats beside it are cut."""
    signal = ecg(FS_HZ, R_S, SECONDS)
    signal[round(R_S[20] * FS_HZ) + 50] = np.nan
    beats = segment(signal, FS_HZ).beats
    marked = np.flatnonzero(beats.quality & Quality.MISSING)
    assert marked.tolist() == [20]
    assert not beats.values[20].any()
    assert beats.values[21].any()


def test_a_window_over_3_s_is_marked_not_stretched() -> None:
    """The R-to-R beat before a pause of 4 s is TOO_LONG with zeros; its RR is told."""
    r_s = np.concatenate((np.arange(0.5, 15, 0.8), np.arange(18.9, 30, 0.8)))
    beats = segment(ecg(FS_HZ, r_s, 31), FS_HZ, spec=BeatSpec(window="rr")).beats
    marked = np.flatnonzero(beats.quality & Quality.TOO_LONG).tolist()
    assert marked == [18]
    assert abs(beats.rr_after_ms[18] - 4000) < 20
    assert not beats.values[18].any()


def test_standardised() -> None:
    """Beats fit for a verdict have mean 0 and standard deviation 1 (n - 1)."""
    beats = TROUBLED_WHOLE.beats
    values = beats.values[beats.judgeable].astype(np.float64)
    np.testing.assert_allclose(values.mean(axis=-1), 0, atol=1e-6)
    np.testing.assert_allclose(values.std(axis=-1, ddof=1), 1, atol=1e-6)


# --- hostile input ----------------------------------------------------------------------------


@pytest.mark.parametrize("fs_hz", [0, -1, 99.9, 2000.1, np.nan, np.inf])
def test_absurd_sampling_rates_are_refused(fs_hz: float) -> None:
    """Only 100 to 2000 Hz."""
    with pytest.raises(InvalidSignal, match="sampling rate"):
        Segmenter(fs_hz, BeatSpec(), measure_signs=True)


@pytest.mark.parametrize(
    "chunk", [np.zeros((2, 3)), np.array(["a"]), np.zeros(3, complex), np.float64(1.0), [None]]
)
def test_chunks_of_another_kind_are_refused(chunk: object) -> None:
    """A chunk has one dimension and real numbers; a refused one changes nothing."""
    segmenter = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    before = segmenter.to_bytes()
    with pytest.raises(InvalidSignal):
        segmenter.update(chunk)  # type: ignore[arg-type]
    assert segmenter.to_bytes() == before


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e30, 1e300])
def test_what_is_no_sample_is_missing(value: float) -> None:
    """Infinities and absurd amplitudes count as lost, without a warning."""
    signal = ecg(FS_HZ, R_S, SECONDS).astype(np.float64)
    clean = signal.copy()
    signal[2000:2300] = value
    clean[2000:2300] = np.nan
    assert segment(signal, FS_HZ).same_as(segment(clean, FS_HZ))


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.float16, np.inf), (np.int32, -(2**31)), (np.int64, -(2**63))]
)
def test_what_is_no_sample_is_missing_in_any_type(dtype: type, value: float) -> None:
    """Also a type in which a million, or the magnitude of the least number, has no place."""
    signal: np.ndarray = (ecg(FS_HZ, R_S, SECONDS) * 40).astype(dtype)
    clean = signal.astype(np.float64)
    signal[2000:2300] = value
    clean[2000:2300] = np.nan
    assert segment(signal, FS_HZ).same_as(segment(clean, FS_HZ))


def test_a_gap_beyond_all_positions_is_refused() -> None:
    """What could not be restored is not begun."""
    with pytest.raises(InvalidSignal, match="gap"):
        Segmenter(FS_HZ, BeatSpec(), measure_signs=True).gap(2**60)


def test_a_negative_gap_is_refused() -> None:
    """Time does not run backwards."""
    with pytest.raises(InvalidSignal, match="gap"):
        Segmenter(FS_HZ, BeatSpec(), measure_signs=True).gap(-1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_states_are_refused(data: st.DataObject) -> None:
    """A state cut short or with one byte changed is refused, with no other error."""
    segmenter = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    segmenter.update(TROUBLED[:1500])
    state = bytearray(segmenter.to_bytes())
    if data.draw(st.booleans()):
        del state[data.draw(st.integers(0, len(state) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(state) - 1))
        state[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidState):
        Segmenter.from_bytes(bytes(state))


def test_a_stream_shorter_than_a_beat_says_nothing() -> None:
    """Nothing, one sample, or half a second: no beats, no error."""
    for n in (0, 1, 125):
        whole = segment(np.zeros(n, np.float32), FS_HZ)
        assert len(whole.beats) == len(whole.r_samples) == 0
        assert whole.beats.values.shape == (0, 1, 140)


def test_a_state_after_a_long_pause_can_be_restored() -> None:
    """Two minutes of asystole under a good signal leave a state like any other."""
    r_s = np.concatenate((np.arange(0.5, 2, 0.8), np.arange(140, 150, 0.8)))
    signal = ecg(FS_HZ, r_s, 151)
    segmenter = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    said = [segmenter.update(signal[:35200])]
    segmenter = Segmenter.from_bytes(segmenter.to_bytes())
    said += [segmenter.update(signal[35200:]), segmenter.flush()]
    assert gather(said).same_as(segment(signal, FS_HZ))
    assert near(gather(said).r_samples, r_s)


def test_one_wide_bump_in_silence_is_no_rhythm() -> None:
    """A lone slow burst, higher than all else, is neither learnt from nor an error."""
    signal = 0.001 * np.random.default_rng(0).normal(size=5000)
    burst = np.arange(1000)
    signal[1000:2000] += np.sin(2 * np.pi * 12 * burst / FS_HZ) * np.hanning(1000)
    assert len(segment(signal, FS_HZ).r_samples) == 0


def test_a_beat_before_a_loss_is_cut_only_if_its_window_is_there() -> None:
    """Where the signal goes before the window would end, the beat is MISSING, in any cut."""
    signal = ecg(FS_HZ, R_S, SECONDS)
    signal[round(R_S[20] * FS_HZ) + 60 :] = 5.12  # the lead falls off a third into the interval
    whole = segment(signal, FS_HZ, spec=BeatSpec(window="rr"))
    last = whole.beats.r_sample == whole.r_samples[whole.r_samples < R_S[20] * FS_HZ + 10][-1]
    assert last.sum() == 1
    assert not whole.beats.judgeable[last].any()
    again = segment(signal, FS_HZ, range(100, len(signal), 100), spec=BeatSpec(window="rr"))
    assert again.same_as(whole)


def test_no_r_peak_lies_before_the_stream() -> None:
    """A stream that begins within a QRS complex has its first R at its first sample or later."""
    signal = ecg(FS_HZ, R_S, SECONDS)[round(R_S[1] * FS_HZ) + 2 :]
    whole = segment(signal, FS_HZ)
    assert whole.r_samples.min() >= 0
    state = Segmenter(FS_HZ, BeatSpec(), measure_signs=True)
    state.update(signal[:1000])
    assert Segmenter.from_bytes(state.to_bytes()).to_bytes() == state.to_bytes()


def stretch(g: np.random.Generator, kind: int, n: int) -> np.ndarray:
    """Return n samples of one of eight kinds of signal, hearts and troubles."""
    t = np.arange(n) / FS_HZ
    return [
        np.full(n, g.normal()),
        np.full(n, np.nan),
        g.normal(size=n) * 10 ** g.uniform(-4, 4),
        np.sin(2 * np.pi * g.uniform(0.1, FS_HZ / 2) * t) * 10 ** g.uniform(-3, 3),
        np.where(g.random(n) < 0.1, np.nan, g.normal(size=n)),
        32767 * np.sign(np.sin(2 * np.pi * g.uniform(0.3, 20) * t)),
        np.where(t % g.uniform(0.3, 3) < 0.02, 5.0, 0.0),
        ecg(FS_HZ, 0.3 + np.cumsum(g.uniform(0.2, 3, 8)), n / FS_HZ, g.uniform(0, 0.2)),
    ][kind]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["rr", "midpoint"]))
def test_laws_hold_for_any_mixture(seed: int, window: str) -> None:
    """Whatever comes after whatever: the same in any cut, R peaks in order, values finite."""
    g = np.random.default_rng(seed)
    kinds = g.integers(0, 8, size=g.integers(2, 9))
    signal = np.concatenate([stretch(g, k, int(g.integers(1, 3000))) for k in kinds])
    spec = BeatSpec(window="rr" if window == "rr" else "midpoint")
    whole = segment(signal, FS_HZ, spec=spec)
    cuts = g.integers(0, len(signal), size=g.integers(0, 30)).tolist()
    assert segment(signal, FS_HZ, cuts, spec).same_as(whole)
    assert np.all(np.diff(whole.r_samples) > 0)
    assert np.isfinite(whole.beats.values).all()


def tall_t(fs_hz: float, rr_s: float, ratio: float, width_s: float) -> tuple[np.ndarray, int]:
    """Return half a minute with T waves of a multiple of the R waves, and its number of beats."""
    r_s = np.arange(0.5, 29.5, rr_s)
    t_s = np.arange(round(30 * fs_hz)) / fs_hz
    after_s = 0.4 * np.sqrt(rr_s) - 1.5 * width_s  # Bazett: the wave ends where QT does
    signal = 0.005 * np.random.default_rng(0).standard_normal(len(t_s))
    for one_s in r_s:
        signal += np.exp(-(((t_s - one_s) / 0.012) ** 2))
        signal += ratio * np.exp(-(((t_s - one_s - after_s) / width_s) ** 2))
    return signal, len(r_s)


@pytest.mark.parametrize("fs_hz", [125.0, 360.0])
@pytest.mark.parametrize("rr_s", [0.6, 0.8, 1.0])
@pytest.mark.parametrize(
    ("ratio", "width_s"), [(1.5, 0.035), (2.0, 0.045), (2.0, 0.06), (3.0, 0.08)]
)
def test_tall_t_waves_are_no_beats(fs_hz: float, rr_s: float, ratio: float, width_s: float) -> None:
    """Twice the R waves and more, at rates of 60 to 100: blunter than the QRS complex before."""
    signal, n_beats = tall_t(fs_hz, rr_s, ratio, width_s)
    found = Segmenter(fs_hz, BeatSpec(), measure_signs=True).update(signal)
    assert abs(len(found.r_samples) - n_beats) <= 2


@pytest.mark.parametrize("rr_s", [2.5, 3.0, 4.5])
def test_no_event_ends_before_it_begins(rr_s: float) -> None:
    """A beat that is found by looking back lies before the report that there was none."""
    t_s = np.arange(60 * 250) / 250
    signal = np.exp(-(((t_s + rr_s / 2) % rr_s - rr_s / 2) ** 2) / 0.012**2)
    began: dict[str, int] = {}
    for event in Segmenter(250.0, BeatSpec(), measure_signs=True).update(signal).events:
        if event.state == "onset":
            began[event.kind] = event.sample
        else:
            assert event.sample >= began.pop(event.kind)

"""Tables of beats and signs, and the alarms that are expected of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm.life_cycle import AlarmChange, AlarmLife, Condition, live
from monitor.detection.rhythm.signs import Beat, LeadSigns, PulseSigns, RhythmMoment
from monitor.detection.rhythm.step import RhythmState, step

FS_HZ = 250.0
HOP = 125
LIMITS = RhythmLimits()
GOOD, QUIET = LeadSigns(True), LeadSigns(True, quiet_s=4.0)
OSCILLATING = LeadSigns(True, 0.0, 0.3, 0.75, 5.0, 1.0)
COMPLEXES = LeadSigns(True, 0.0, 0.85, 0.3, 2.0, 1.0)
NOISE = LeadSigns(True, 0.25, 0.95, 0.6, 5.0, 1.0, noisy=True)  # no period, and never quiet
NORMAL, VENTRICULAR = -2.0, 3.0


@dataclass
class Patient:
    """A patient whose beats are drawn from tables."""

    state: RhythmState = field(default_factory=RhythmState)
    sample: int = 0
    changes: list[AlarmChange] = field(default_factory=list)
    r: list[int] = field(default_factory=lambda: [0])

    def moment(
        self,
        beats: Sequence[Beat] = (),
        leads: Sequence[LeadSigns] = (GOOD,),
        waves: Sequence[PulseSigns] = (),
    ) -> None:
        """Let half a second pass."""
        self.sample += HOP
        moment = RhythmMoment(self.sample, tuple(beats), tuple(leads), tuple(waves))
        self.state, changes = step(self.state, moment, FS_HZ, LIMITS)
        self.changes += changes

    def beats(
        self,
        rr_s: Iterable[float],
        ventricular: float = NORMAL,
        judgeable: bool = True,
        usual_s: float = 0.8,
        like: float = 0.98,
        heights: Sequence[float] = (1.0,),
        good: float = 1.0,
        tonal: float = 0.6,
    ) -> None:
        """Let beats come at these intervals, each known when it is over."""
        for k, rr in enumerate(rr_s):
            self.r.append(self.r[-1] + round(rr * FS_HZ))
            beat = Beat(
                r_sample=self.r[-1],
                rr_ms=1000 * rr,
                judgeable=judgeable,
                rr_over_usual=rr / usual_s,
                ventricular=ventricular,
                like_last=like,
                height_ratio=heights[k % len(heights)],
                good_share=good,
                tonal_share=tonal,
                correlation=0.3 if ventricular > 0 else 0.98,
            )
            while self.sample + HOP < self.r[-1]:
                self.moment()
            self.moment((beat,))

    def raised(self, kind: str) -> list[str]:
        """Return what became of an alarm, in order."""
        return [change.state for change in self.changes if change.kind == kind]


HIGH = (
    "asystole", "ventricular_fibrillation", "ventricular_tachycardia", "extreme_tachycardia",
    "extreme_bradycardia",
)  # fmt: skip


def test_a_usual_rhythm_rings_nothing() -> None:
    """75 a minute, evenly."""
    patient = Patient()
    patient.beats([0.8] * 80)
    assert patient.changes == []


@pytest.mark.parametrize(
    ("per_minute", "n", "kind", "expected"),
    [
        (150, 17, "extreme_tachycardia", True),
        (150, 12, "extreme_tachycardia", False),  # 17 beats are needed
        (125, 30, "extreme_tachycardia", False),
        (125, 10, "tachycardia", True),
        (110, 30, "tachycardia", False),
        (37, 5, "extreme_bradycardia", True),
        (37, 2, "extreme_bradycardia", False),
        (45, 8, "extreme_bradycardia", False),
        (45, 8, "bradycardia", True),
        (55, 12, "bradycardia", False),
    ],
)
def test_rates(per_minute: float, n: int, kind: str, expected: bool) -> None:
    """The definitions of the challenge of 2015, and limits of the patient."""
    patient = Patient()
    patient.beats([0.7] * 20)
    patient.beats([60 / per_minute] * n)
    assert bool(patient.raised(kind)) is expected


@pytest.mark.parametrize(
    ("kind", "beyond", "between", "within"),
    [
        ("tachycardia", 124, 114, 104),
        ("bradycardia", 48, 53, 60),
        ("extreme_tachycardia", 145, 126, 110),
        ("extreme_bradycardia", 38, 44, 50),
    ],
)
def test_a_rate_that_lingers_at_its_limit_is_one_alarm(
    kind: str, beyond: int, between: int, within: int
) -> None:
    """It begins beyond the limit, lasts a tenth within it, and ends farther within."""
    patient, never = Patient(), Patient()
    patient.beats([0.8] * 20)
    never.beats([0.8] * 20)
    for _ in range(3):
        patient.beats([60 / beyond] * 18)
        patient.beats([60 / between] * 25)
        never.beats([60 / between] * 25)
    assert patient.raised(kind) == ["onset"]
    assert never.raised(kind) == []
    patient.beats([60 / within] * 30)
    assert patient.raised(kind) == ["onset", "cleared"]


def test_a_rate_near_its_limit_in_fibrillation_of_the_atria() -> None:
    """The mean of a few intervals reaches 120 a minute by chance: 17 beats count there, not 8."""
    chance = np.random.default_rng(3)
    patient = Patient()
    patient.beats([0.8] * 20)
    rr_s = 60 / 102 * (1 + 0.2 * chance.standard_normal(400))
    patient.beats(rr_s.tolist())
    of_7 = 60 / np.convolve(rr_s, np.full(7, 1 / 7), "valid")
    assert (of_7[100:] > 120).any()
    (irregular,) = [one for one in patient.changes if one.kind == "irregular_rhythm"]
    later = [one for one in patient.changes if one.sample > irregular.sample]
    assert [one.kind for one in later if one.state == "onset"] == []


def test_a_fast_rhythm_of_noise_rings_nothing() -> None:
    """Beats that are fit for no verdict make no rate."""
    patient = Patient()
    patient.beats([0.4] * 40, judgeable=False)
    assert not patient.raised("extreme_tachycardia")
    assert not patient.raised("tachycardia")


def test_a_slow_heart_falls_silent_between_its_beats() -> None:
    """Leads that are never quiet for 0.6 s hide beats that were missed; noise tells nothing."""
    silent, loud, beside_noise, noise = Patient(), Patient(), Patient(), Patient()
    for k in range(1, 12):
        r_sample = round(k * 1.6 * FS_HZ)
        for patient, quiet_s, others in (
            (silent, 0.9, ()),
            (loud, 0.3, ()),
            (beside_noise, 0.9, (NOISE,)),
            (noise, 0.25, (NOISE,)),
        ):
            known = () if patient is noise else (LeadSigns(True, quiet_s=quiet_s),)
            while patient.sample + HOP < r_sample:
                patient.moment(leads=(*known, *others))
            known = () if patient is noise else (LeadSigns(True, quiet_s=0.25),)
            patient.moment((Beat(r_sample, 1600.0),), (*known, *others))
    assert silent.raised("extreme_bradycardia") == ["onset"]
    assert loud.raised("extreme_bradycardia") == []
    assert beside_noise.raised("extreme_bradycardia") == ["onset"]
    assert noise.raised("extreme_bradycardia") == []


@pytest.mark.parametrize(
    ("beats", "expected"),
    [
        ({"ventricular": VENTRICULAR}, True),
        ({"ventricular": NORMAL}, False),  # fast beats of the usual shape
        # Noise: no two alike, or as high, no oscillation, and few leads that can be read.
        (
            {
                "ventricular": VENTRICULAR,
                "like": 0.2,
                "heights": (0.5, 1.5),
                "tonal": 0.3,
                "good": 0.2,
            },
            False,
        ),
    ],
)
def test_ventricular_tachycardia(beats: dict[str, object], expected: bool) -> None:
    """Five beats that are ventricular by shape, alike, at over 100 a minute."""
    patient = Patient()
    patient.beats([0.8] * 20)
    patient.beats([0.4] * 6, **beats)  # type: ignore[arg-type]
    patient.beats([0.8] * 20)
    assert patient.raised("ventricular_tachycardia") == (["onset", "cleared"] if expected else [])


@pytest.mark.parametrize(("n", "run", "tachycardia"), [(2, 0, 0), (3, 1, 0), (4, 1, 0), (5, 1, 1)])
def test_three_and_four_are_a_run(n: int, run: int, tachycardia: int) -> None:
    """Two are a couplet; five are a tachycardia."""
    patient = Patient()
    patient.beats([0.8] * 20)
    patient.beats([0.45] * n, VENTRICULAR)
    patient.beats([0.8] * 4)
    assert len(patient.raised("ventricular_run")) == run
    assert len(patient.raised("ventricular_tachycardia")) == tachycardia


def test_a_slow_ventricular_rhythm_is_no_tachycardia() -> None:
    """80 a minute is not over 100."""
    patient = Patient()
    patient.beats([0.8] * 20)
    patient.beats([0.75] * 10, VENTRICULAR)
    assert not patient.raised("ventricular_tachycardia")


def test_a_run_is_one_beside_a_usual_rhythm() -> None:
    """Whatever a record begins with is unlike nothing yet."""
    patient = Patient()
    patient.beats([0.4] * 6, VENTRICULAR)
    assert not patient.raised("ventricular_tachycardia")
    patient.beats([0.8] * 20)
    patient.beats([0.4] * 6, VENTRICULAR)
    assert patient.raised("ventricular_tachycardia")


def test_early_beats_in_pairs_are_no_run() -> None:
    """Over 100 a minute on average, but with a pause in it as long as the usual interval."""
    patient = Patient()
    patient.beats([0.8] * 20)
    patient.beats([0.35, 0.35, 0.85] * 6, VENTRICULAR)
    assert not patient.raised("ventricular_tachycardia")


def test_even_pulses_deny_a_run_that_begins() -> None:
    """A run changes the pulses; noise in the ECG does not."""
    denied, told = Patient(), Patient()
    for k in range(1, 60):
        sample = k * HOP
        shape, early = (VENTRICULAR, 0.6) if k > 45 else (NORMAL, 1.0)
        beats = [Beat(sample - 60, 500.0, ventricular=shape, like_last=0.95,
                      rr_over_usual=early)]  # fmt: skip
        even = PulseSigns(True, (sample - 200,))
        odd = PulseSigns(True, (sample - 200,) if k < 45 or k % 3 else ())
        for patient, wave in ((denied, even), (told, odd)):
            patient.moment(beats, waves=(wave,))
    assert denied.raised("ventricular_tachycardia") == []
    assert told.raised("ventricular_tachycardia") == ["onset"]


def test_asystole_is_silence_in_every_readable_lead() -> None:
    """One lead that shows complexes denies it; one that is off says nothing."""
    off = LeadSigns(False)
    for leads, expected in (
        ((QUIET, QUIET), True),
        ((QUIET, off), True),
        ((QUIET, GOOD), False),
        ((off, off), False),
        ((LeadSigns(True, quiet_s=3.0),), False),
        ((QUIET, NOISE), True),
        ((NOISE, NOISE), False),
        ((NOISE, off), False),
    ):
        patient = Patient()
        patient.moment(leads=leads)
        assert bool(patient.raised("asystole")) is expected, leads


@pytest.mark.parametrize("pulses_go_on", [True, False])
def test_pulses_deny_asystole(pulses_go_on: bool) -> None:
    """A heart that makes pulses as before does not stand still."""
    patient = Patient()
    for k in range(1, 40):
        new = (k * HOP - 150,) if k < 30 or pulses_go_on else ()
        leads = (GOOD,) if k < 30 else (LeadSigns(True, quiet_s=(k - 30) * 0.5),)
        patient.moment(leads=leads, waves=(PulseSigns(True, new),))
    assert bool(patient.raised("asystole")) is not pulses_go_on


def test_fibrillation_is_an_oscillation_without_complexes() -> None:
    """A lead that shows complexes denies it: the other holds an artefact."""
    for leads, expected in (
        ((OSCILLATING, OSCILLATING), True),
        ((OSCILLATING, LeadSigns(False)), True),
        ((OSCILLATING, COMPLEXES), False),
        ((OSCILLATING, NOISE), True),
        ((NOISE, NOISE), False),
        ((msgspec.structs.replace(OSCILLATING, height_mv=0.03),), False),
        ((msgspec.structs.replace(OSCILLATING, dominant_hz=2.0),), False),
    ):
        patient = Patient()
        patient.moment(leads=leads)
        assert bool(patient.raised("ventricular_fibrillation")) is expected, leads


@pytest.mark.parametrize(("rr_s", "expected"), [(2.2, True), (1.6, True), (1.2, False)])
def test_a_pause_is_over_two_seconds_or_much_longer_than_usual(rr_s: float, expected: bool) -> None:
    """1.8 times the usual interval; a compensatory pause is shorter."""
    patient = Patient()
    patient.beats([0.8] * 20)
    patient.beats([rr_s])
    assert bool(patient.raised("pause")) is expected


def test_an_irregular_rhythm_has_no_usual_interval_to_pause_by() -> None:
    """Only the limit in seconds counts there."""
    chance = np.random.default_rng(1)
    patient = Patient()
    patient.beats((0.6 * (1 + 0.22 * chance.standard_normal(200))).tolist())
    patient.beats([1.7, 0.6, 0.6])
    assert not patient.raised("pause")
    patient.beats([2.2])
    assert patient.raised("pause") == ["onset"]


def test_ventricular_beats_make_no_rhythm_irregular() -> None:
    """Early ones, at any place, are not fibrillation of the atria, but do not hide it either."""
    chance = np.random.default_rng(2)
    for spread, expected in ((0.02, []), (0.22, ["onset"])):
        patient = Patient()
        for _ in range(300):
            rr_s = 0.7 * (1 + spread * float(chance.standard_normal()))
            patient.beats([rr_s])
            if chance.random() < 0.25:
                early_s = float(chance.uniform(0.35, 0.6))
                patient.beats([early_s], VENTRICULAR)
                patient.beats([1.4 - early_s])
        assert patient.raised("irregular_rhythm") == expected, spread


def test_irregular_rhythm_is_one_alarm_that_stays() -> None:
    """Intervals by chance, over a minute; bigeminy and breathing are none."""
    chance = np.random.default_rng(1)
    patient = Patient()
    patient.beats((0.6 * (1 + 0.22 * chance.standard_normal(200))).tolist())
    assert patient.raised("irregular_rhythm") == ["onset"]
    for rr_s in ([0.5, 1.0] * 60, (0.8 + 0.05 * np.sin(np.arange(120) / 2)).tolist()):
        patient = Patient()
        patient.beats(rr_s)
        assert patient.raised("irregular_rhythm") == []


def test_a_hole_in_the_signal_begins_the_rates_anew() -> None:
    """A beat without a neighbour counts for no rate: the time between was not seen."""
    patient = Patient()
    patient.beats([0.8] * 20)
    for k in range(4):
        patient.sample = 5000 + k * 5000
        patient.moment([Beat(patient.sample)])
    assert not patient.changes


def test_the_state_goes_to_bytes() -> None:
    """Encoded after every moment, the alarms are the same; the state stays small."""
    kept, saved = Patient(), Patient()
    for patient in (kept, saved):
        for rr, ventricular in ((0.8, NORMAL), (0.4, VENTRICULAR), (1.7, NORMAL)):
            for _ in range(70):
                patient.beats([rr], ventricular)
                if patient is saved:
                    encoded = msgspec.json.encode(patient.state)
                    assert len(encoded) < 16_384
                    patient.state = msgspec.json.decode(encoded, type=RhythmState)
    assert kept.changes == saved.changes
    assert kept.state == saved.state


def test_an_alarm_ends_some_time_after_its_condition() -> None:
    """It holds on and off at the edge of what an alarm is about."""
    life, change = live(AlarmLife(), "asystole", Condition(True, 100), 1000, 500)
    assert change == AlarmChange("asystole", "onset", 1000, 100, "high")
    life, change = live(life, "asystole", Condition(False), 1400, 500)
    assert (life.active, change) == (True, None)
    life, change = live(life, "asystole", Condition(True, 900), 1450, 500)
    assert (life, change) == (AlarmLife(True, 100, 1450), None)
    life, change = live(life, "asystole", Condition(False), 1949, 500)
    assert change is None
    life, change = live(life, "asystole", Condition(False), 1950, 500)
    assert change == AlarmChange("asystole", "cleared", 1950, 100, "high")
    assert not life.active

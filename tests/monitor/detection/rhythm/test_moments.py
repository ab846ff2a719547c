"""From arrays of signs to plain moments: nothing is lost, and leads are read together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.detection.rhythm.moments import WatchState, hops, moment
from monitor.detection.rhythm.signs import PulseSigns, RhythmMoment
from segmenter.signs import PULSE_COLUMNS, Signs, no_signs
from tests.monitor.hearts import FS_HZ, HOP, Heart


def moments(signs: Signs) -> list[RhythmMoment]:
    state, found = WatchState(), []
    for hop in hops(signs):
        state, one = moment(state, hop, FS_HZ)
        found.append(one)
    return found


def test_every_complex_is_a_beat() -> None:
    """In the moment of its hop, with its intervals; of all leads there is one."""
    heart = Heart([0.8] * 20, 16, noisy=[(8, 10)], leads=2)
    found = moments(heart.signs())
    assert [one.sample for one in found] == [*range(HOP, 16 * 250 + 1, HOP)]
    beats = [beat for one in found for beat in one.beats]
    assert [beat.r_sample for beat in beats] == heart.r_samples[: len(beats)]
    assert len(beats) >= 17
    assert [beat.rr_ms for beat in beats[:3]] == [None, 800.0, 800.0]
    assert {beat.rr_after_ms for beat in beats} == {800.0}
    unfit = [beat.r_sample / FS_HZ for beat in beats if not beat.judgeable]
    assert unfit == pytest.approx([8.8, 9.6])
    assert all(len(one.leads) == 2 for one in found)


def test_an_interval_is_compared_with_those_before_it() -> None:
    """The median of the latest: half of it is early, and the first is neither early nor late."""
    found = moments(Heart([*[0.8] * 20, 0.4, 0.8, 0.8, 0.8], 20).signs())
    ratios = [beat.rr_over_usual for one in found for beat in one.beats]
    assert ratios[:3] == [1.0, 1.0, 1.0]
    assert ratios[20:22] == [0.5, 1.0]


def test_a_lead_without_a_whole_complex_has_no_part_in_its_shape() -> None:
    """What the other shows counts alone; where none does, nothing is known."""
    signs = Heart([0.8] * 20, 16, leads=2).signs()
    shapes = signs.shapes.copy()
    for name in shapes.dtype.names or ():
        shapes[name][:, 0] = np.nan
    both, other = (
        [(beat.ventricular, beat.like_last) for one in moments(told) for beat in one.beats]
        for told in (signs, replace(signs, shapes=shapes))
    )
    assert other == both
    for name in shapes.dtype.names or ():
        shapes[name] = np.nan
    (beat, *_) = [beat for one in moments(replace(signs, shapes=shapes)) for beat in one.beats]
    assert (beat.ventricular, beat.like_last) == (None, None)


def test_the_silence_of_a_lead_proves_nothing_after_another_came_off() -> None:
    """They share electrodes."""
    quiet = Heart([0.8] * 50, 48, leads=2)
    loose = replace(quiet, off=[(42, 48)])
    assert [one.leads[0].quiet_s > 3.5 for one in moments(quiet.signs())][-1]
    assert moments(loose.signs())[-1].leads[0].quiet_s == 0


def test_pulses_are_their_wave_s() -> None:
    """Each in the moment of its hop."""
    signs = Heart([0.8] * 5, 2).signs()
    pulses = np.array([(250, 140, 1), (250, 150, 0), (500, 400, 1)], PULSE_COLUMNS)
    readable = np.array([[True, False]] * len(signs))
    found = moments(replace(signs, pulses=pulses, readable=readable))
    assert [one.waves for one in found] == [
        (PulseSigns(True), PulseSigns(False)),
        (PulseSigns(True, (150,)), PulseSigns(False, (140,))),
        (PulseSigns(True), PulseSigns(False)),
        (PulseSigns(True), PulseSigns(False, (400,))),
    ]


def test_no_signs_are_no_moments() -> None:
    """A stretch in which no hop ended."""
    assert moments(no_signs()) == []

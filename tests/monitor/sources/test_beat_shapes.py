"""ECG drawn from the statistical model of chf07's beats."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from monitor.sources.beat_shapes import (
    AFTER_ECTOPIC,
    draw_joints,
    draw_windows,
    knot_times,
    load_shapes,
)

CLASSES = ("N", "r", "V", "S", "Q", AFTER_ECTOPIC)


def test_model_ships_small_with_its_provenance() -> None:
    """The file is under 100 kB and names source and licence."""
    text = files("monitor.sources").joinpath("chf07_beats.json").read_text(encoding="utf-8")
    assert len(text) < 100_000
    assert "ODC-By" in text[:600]
    assert "chf07" in text[:600]


@pytest.mark.parametrize("name", CLASSES)
def test_model_is_a_principal_component_model(name: str) -> None:
    """Components are orthonormal, sorted by spread, of the window's length."""
    shape = load_shapes()[name]
    assert shape.mean.shape == (140,)
    np.testing.assert_allclose(
        shape.components @ shape.components.T, np.eye(len(shape.spread)), atol=2e-3
    )
    assert (np.diff(shape.spread) <= 0).all()
    assert (shape.spread > 0).all()


def test_premature_classes_are_premature() -> None:
    """The RR ratios found in the shapes are those of early beats, and of a pause after them."""
    ratio = {name: shape.rr_ratio for name, shape in load_shapes().items()}
    assert ratio["r"] < ratio["S"] < ratio["V"] < ratio["N"] == 1.0
    assert 1.2 < ratio[AFTER_ECTOPIC] < 1.6


@pytest.mark.parametrize("name", CLASSES)
def test_windows_begin_and_end_as_asked(name: str) -> None:
    """The joints are met exactly, whatever else chance does."""
    rng = np.random.default_rng(0)
    start, end = rng.normal(-0.1, 0.2, 50), rng.normal(-0.1, 0.2, 50)
    windows = load_shapes()[name].draw(start, end, rng)
    np.testing.assert_allclose(windows[:, 0], start, atol=1e-9)
    np.testing.assert_allclose(windows[:, -1], end, atol=1e-9)


def test_normal_beats_vary_in_every_component() -> None:
    """Given joints tie two directions down; the others keep the spread of the real beats."""
    shape = load_shapes()["N"]
    rng = np.random.default_rng(0)
    joints = draw_joints(load_shapes(), np.full(4001, "N"), rng)
    windows = shape.draw(joints[:-1], joints[1:], rng)
    spread = ((windows - windows.mean(axis=0)) @ shape.components.T).std(axis=0)
    assert (spread > 0.5 * shape.spread).all()
    assert (spread < 1.2 * shape.spread).all()
    centre = slice(20, 120)
    np.testing.assert_allclose(windows.mean(axis=0)[centre], shape.mean[centre], atol=0.05)


def test_joints_without_chance_of_a_wild_value() -> None:
    """Joints stay within what the two windows that meet there may hold."""
    joints = draw_joints(load_shapes(), np.array(["N", "r", "V", "S", "Q"] * 500), _rng())
    assert np.abs(joints).max() < 3


def test_run_of_ectopic_beats_keeps_its_t_wave() -> None:
    """Between two r, the window begins as after any ectopic beat and ends as before an r."""
    shapes = load_shapes()
    symbol = np.full(401, "r")
    windows, head_rr_s, tail_rr_s = draw_windows(shapes, symbol, np.full(401, -0.3), _rng())
    mean = windows.mean(axis=0)
    assert mean[14:29].mean() == pytest.approx(shapes[AFTER_ECTOPIC].mean[14:29].mean(), abs=0.1)
    assert mean[130:138].mean() == pytest.approx(shapes["r"].mean[130:138].mean(), abs=0.2)
    assert (head_rr_s > tail_rr_s).all()


@pytest.mark.parametrize("rr_s", [0.25, 0.5, 0.78, 1.3, 2.5])
def test_points_rise_from_one_beat_to_the_next(rr_s: float) -> None:
    """Whatever the interval, times rise strictly from 0 to it."""
    times = knot_times(np.array([rr_s]), np.array([0.78]), np.array([0.5]))[0]
    assert times[0] == 0
    assert times[-1] == pytest.approx(rr_s)
    assert (np.diff(times) > 0).all()


def test_qrs_keeps_its_duration() -> None:
    """A long diastole stretches the part between T and P, not the QRS."""
    natural = np.array([0.78])
    short = knot_times(np.array([0.78]), natural, natural)[0]
    long = knot_times(np.array([1.5]), natural, natural)[0]
    np.testing.assert_allclose(long[:60], short[:60])
    np.testing.assert_allclose(1.5 - long[-40:], 0.78 - short[-40:])


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)

"""The band-pass of QRS complexes: its coefficients, and SciPy's recursive filter by itself.

`scipy.signal` imports statistics, interpolation and optimisation with it: half a second and 70 MB
in each process that finds beats, for one function in C. So that function is loaded by itself where
SciPy keeps it in a module of its own, as 1.12 to 1.17 do; elsewhere `scipy.signal` gives the same
to the bit (tests/segmenter/test_recursive_filter.py).
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MODULE, _FUNCTION = "scipy.signal._sigtools", "_linear_filter"

Coefficients = tuple[NDArray[np.float64], NDArray[np.float64]]  # numerator, denominator: b, a
LinearFilter = Callable[..., tuple[NDArray[np.float64], NDArray[np.float64]]]


def lfilter(
    coefficients: Coefficients, samples: NDArray[np.float64], state: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Filter along the last axis, as `scipy.signal.lfilter` does.

    Parameters
    ----------
    coefficients : tuple of np.ndarray, shape (order + 1,) each, float64
        Of numerator and denominator; the denominator's first is 1.
    samples : np.ndarray, shape (rows, n), float64
    state : np.ndarray, shape (rows, order), float64

    Returns
    -------
    filtered : np.ndarray, shape (rows, n)
    state : np.ndarray, shape (rows, order)
        After the last sample.
    """
    numerator, denominator = coefficients
    return _linear_filter()(numerator, denominator, samples, -1, state)


def butterworth(order: int, band_hz: tuple[float, float], fs_hz: float) -> Coefficients:
    """Return the coefficients of a Butterworth band-pass by the bilinear transform.

    The order is that of the low-pass it is made from; each array has 2 * order + 1 values, those of
    `scipy.signal.butter`.

    Raises
    ------
    ValueError
        If the band does not lie between 0 and half the sampling rate.
    """
    low_hz, high_hz = band_hz
    if not 0 < low_hz < high_hz < fs_hz / 2:
        raise ValueError(f"the band {low_hz} to {high_hz} Hz does not lie in 0 to {fs_hz / 2} Hz")
    warped_low, warped_high = 4.0 * np.tan(np.pi * (2 * np.array(band_hz) / fs_hz) / 2.0)
    width, centre = warped_high - warped_low, np.sqrt(warped_low * warped_high)
    angles = np.pi * np.arange(-order + 1, order, 2) / (2 * order)
    low_pass = -np.exp(1j * angles) * width / 2  # poles of the left half of the unit circle
    apart = np.sqrt(low_pass**2 - centre**2)
    analogue = np.concatenate((low_pass + apart, low_pass - apart))
    poles = (4.0 + analogue) / (4.0 - analogue)
    zeros = np.concatenate((np.ones(order), -np.ones(order)))  # at 0 Hz and half the sampling rate
    gain = width**order * np.real(np.prod(np.full(order, 4.0 + 0j)) / np.prod(4.0 - analogue))
    return gain * np.poly(zeros), np.real(np.poly(poles))


def steady_state(coefficients: Coefficients) -> NDArray[np.float64]:
    """Return the state, shape (order,), of a filter that has seen 1 for ever."""
    numerator, denominator = coefficients
    order = len(denominator) - 1
    companion = np.eye(order, k=-1)
    companion[0] = -denominator[1:]
    driven = numerator[1:] - denominator[1:] * numerator[0]
    return np.asarray(np.linalg.solve(np.eye(order) - companion.T, driven), np.float64)


def group_delay(coefficients: Coefficients, frequency_hz: float, fs_hz: float) -> float:
    """Return by how many samples the filter delays what varies at a frequency."""
    numerator, denominator = coefficients
    ramped = np.convolve(numerator, denominator[::-1])
    at = np.exp(-2j * np.pi * frequency_hz / fs_hz)
    slope = np.polyval((ramped * np.arange(len(ramped)))[::-1], at)
    return float(np.real(slope / np.polyval(ramped[::-1], at))) - (len(denominator) - 1)


@cache
def _linear_filter() -> LinearFilter:
    """Return SciPy's filter, by itself where that can be had."""
    found: LinearFilter | None = getattr(_by_itself(), _FUNCTION, None)
    return _of_scipy_signal if found is None else found


def _by_itself() -> object | None:
    """Return SciPy's compiled module of filters; None where it is not what this file knows."""
    if _MODULE in sys.modules:
        return sys.modules[_MODULE]
    package = importlib.util.find_spec("scipy")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        finder = FileFinder(f"{folder}/signal", (ExtensionFileLoader, EXTENSION_SUFFIXES))
        spec = finder.find_spec(_MODULE)
        if spec is not None and spec.loader is not None:
            with contextlib.suppress(ImportError):
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    return None


def _of_scipy_signal(
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    samples: NDArray[np.float64],
    axis: int,
    state: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy import signal  # only where it has to be: see above

    filtered: Any = signal.lfilter(numerator, denominator, samples, axis=axis, zi=state)
    return filtered[0], filtered[1]

"""Score beats: their reconstructions, and how far off those are."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from model.errors import InvalidBeats
from model.graph import INPUT, OUTPUT, onnx_graph
from model.trained import TrainedAutoencoder

MAX_BATCH = 64  # what a batch writes stays in the cache of a core: 256 are 5 % slower
MAX_VALUE = 1e6  # standardised values stay below 64; with larger ones sums overflow in float32
SMOOTHED_SAMPLES = 5  # of a running mean: 30 ms of a beat; the noise of one is no anomaly
DRIFT_WAVES = 4  # cosines of 0 to 1.5 waves a beat; six take parts of the T wave too
MAX_SHIFT_SAMPLES = 2  # 12 ms of a beat; three hide small anomalies, one gains half as much


class Scorer:
    """Reconstruction losses of beats; scoring changes nothing, neither here nor in the model.

    ONNX Runtime reconstructs them, in the thread that asks; several threads may ask at once. Why
    it and not torch: docs/PERFORMANCE.md. The loss is that of `reconstruction_losses`.

    Parameters
    ----------
    autoencoder : TrainedAutoencoder
        The trained model.
    max_batch : int
        Beats reconstructed at once; bounds the memory, changes no loss.

    Examples
    --------
    The shipped model writes again what it wrote itself, and not a line.

    >>> import numpy as np
    >>> from model import Scorer, load_shipped
    >>> checkpoint = load_shipped()
    >>> scorer = Scorer(checkpoint.autoencoder)
    >>> written = line = np.zeros((1, 140))
    >>> for _ in range(3):
    ...     written = scorer.reconstruct(written)
    >>> losses = scorer.losses(np.concatenate([written, line]))
    >>> (losses > checkpoint.threshold.value).tolist()
    [False, True]
    """

    def __init__(self, autoencoder: TrainedAutoencoder, max_batch: int = MAX_BATCH) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch {max_batch} is out of range; use at least 1")
        self.autoencoder = autoencoder
        self.max_batch = max_batch
        self._session = _session(autoencoder)

    @property
    def template(self) -> NDArray[np.float32]:
        """The mean of the beats trained on, shape (length,)."""
        return self.autoencoder.template

    def losses(self, beats: ArrayLike) -> NDArray[np.float32]:
        """Return the reconstruction losses, shape (n,), of beats, shape (n, length)."""
        return self.score(beats)[0]

    def reconstruct(self, beats: ArrayLike) -> NDArray[np.float32]:
        """Return what the autoencoder makes of beats, both of shape (n, length)."""
        return self._reconstruct(check_beats(beats, self.autoencoder.config.length))

    def score(self, beats: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the losses, shape (n,), and the reconstructions, shape (n, length).

        Parameters
        ----------
        beats : array_like, shape (n, length), float32
            Standardised beats; n may be 0.

        Raises
        ------
        InvalidBeats
            If the shape is another or a value is not finite.
        """
        checked = check_beats(beats, self.autoencoder.config.length)
        reconstructions = self._reconstruct(checked)
        return reconstruction_losses(checked, reconstructions), reconstructions

    def _reconstruct(self, beats: NDArray[np.float32]) -> NDArray[np.float32]:
        reconstructions = np.empty_like(beats)
        for start in range(0, len(beats), self.max_batch):
            rows = slice(start, start + self.max_batch)
            (reconstructions[rows],) = self._session.run([OUTPUT], {INPUT: beats[rows]})
        return reconstructions


def _session(autoencoder: TrainedAutoencoder) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    _share_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    model = onnx_graph(autoencoder).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@cache
def _share_memory() -> None:
    """Let all models of the process keep the memory that a call needs, some MB, in one arena.

    An arena for each model keeps as much for each patient who has learnt. With none each call takes
    its pages from the system anew: 4,000 to 13,000 page faults a second at 2,000 patients.
    """
    kind, memory = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, onnxruntime.OrtMemType.DEFAULT
    info = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, memory)
    onnxruntime.create_and_register_allocator(info, None)


def reconstruction_losses(
    beats: NDArray[np.float32], reconstructions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the losses, shape (n,), of two (n, length) arrays.

    `length` times the root mean square of the errors of `beat_errors`. Where these are the same at
    every sample that is the sum of absolute differences, so it reads on the scale of the published
    thresholds (26 and 35); an error that is noise, drift or a wave a little early counts less, one
    that is gathered in a part of the beat counts more. Why: docs/QUALITY.md.
    """
    mean_squares = np.square(beat_errors(beats, reconstructions)).mean(axis=1)
    return np.asarray(beats.shape[1] * np.sqrt(mean_squares), dtype=np.float32)


def beat_errors(
    beats: NDArray[np.float32], reconstructions: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the errors that a loss is made of, shape (n, length), none below 0.

    1. Drift, what the difference has of the DRIFT_WAVES slowest cosines, is taken out of the beat:
       a wandering baseline is no anomaly.
    2. Beat and reconstruction are smoothed, by a running mean over SMOOTHED_SAMPLES.
    3. The error at a sample is the smallest absolute difference between the reconstruction there
       and the beat up to MAX_SHIFT_SAMPLES earlier or later: a wave that comes a little early, as
       the T wave does where an interval differs, is no other shape.

    Beyond their ends beat and reconstruction are taken to go on as they are there.
    """
    n, length = beats.shape
    differences = np.subtract(beats, reconstructions, dtype=np.float32)
    for wave in _slowest_cosines(length):  # each sum along a row: any batch gives the same
        differences -= (differences * wave).sum(axis=1, keepdims=True) * wave
    written = _smoothed(reconstructions)
    reach = MAX_SHIFT_SAMPLES
    beat = np.empty((n, length + 2 * reach), np.float32)
    beat[:, reach:-reach] = _smoothed(reconstructions + differences)
    beat[:, :reach], beat[:, -reach:] = beat[:, [reach]], beat[:, [-reach - 1]]
    errors = np.abs(beat[:, :length] - written)
    for shift in range(1, 2 * reach + 1):
        np.minimum(errors, np.abs(beat[:, shift : shift + length] - written), out=errors)
    return errors


@cache
def _slowest_cosines(length: int) -> NDArray[np.float32]:
    """Return the slowest cosines over a beat, the constant first, of norm 1: (waves, length)."""
    at = np.pi * (np.arange(length) + 0.5) / length
    waves = np.cos(np.arange(DRIFT_WAVES)[:, None] * at)
    return np.asarray(waves / np.linalg.norm(waves, axis=1, keepdims=True), np.float32)


def _smoothed(beats: NDArray[np.float32]) -> NDArray[np.float32]:
    reach, (n, length) = SMOOTHED_SAMPLES // 2, beats.shape
    wide = np.empty((n, length + 2 * reach), np.float32)
    wide[:, reach:-reach] = beats
    wide[:, :reach], wide[:, -reach:] = wide[:, [reach]], wide[:, [-reach - 1]]
    total = wide[:, :length].copy()
    for shift in range(1, SMOOTHED_SAMPLES):  # each sum in one order: any batch gives the same
        total += wide[:, shift : shift + length]
    return np.asarray(total / SMOOTHED_SAMPLES, np.float32)


def check_beats(beats: ArrayLike, length: int) -> NDArray[np.float32]:
    """Return beats as one contiguous, writable float32 array of shape (n, length).

    Raises
    ------
    InvalidBeats
        If they are no numbers, of another shape, or hold NaN, infinite or absurd values.
    """
    try:
        checked = np.array(beats, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidBeats(f"beats are not an array of numbers: {error}") from error
    if checked.ndim != 2 or checked.shape[1] != length:
        raise InvalidBeats(f"beats have the shape {checked.shape}; the model takes (n, {length})")
    rows_sound = (np.abs(checked) <= MAX_VALUE).all(axis=1)  # NaN fails too
    if not rows_sound.all():
        bad = int(np.argmin(rows_sound))
        raise InvalidBeats(
            f"beat {bad} of {len(checked)} holds NaN, infinite or implausibly large values"
        )
    return checked

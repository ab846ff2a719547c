"""Make the checkpoint that ships, from a simulated chf07-style record cut by our own segmenter.

    python -m tools.build_checkpoint --out model/checkpoints/default.safetensors

One model learns the beats of both leads: who is monitored without being learnt is judged by it in
every lead. No label takes part: beats that the segmenter calls judgeable are kept, those far from
their lead's dominant morphology are left out, and the threshold comes from losses of a second
simulated record, cleaned the same way. Only the check at the end reads annotations, those of a
third record.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import wfdb
from numpy.typing import NDArray

from model.checkpoint import Checkpoint, save_checkpoint
from model.config import AutoencoderConfig
from model.learning import BEATS_PER_HOUR, dominant_beats
from model.scoring import Scorer
from model.thresholds import threshold_from_losses
from model.training import TrainingConfig, fit
from monitor.offline.evaluation.ecg5000_report import area_under_curve
from monitor.sources.simulated import SimulationSettings, write_record
from segmenter.beat import UNJUDGEABLE, Beats, BeatSpec, Window, joined_beats
from segmenter.stream import Segmenter

TRAINING_HOURS, THRESHOLD_HOURS, CHECK_HOURS = 0.6, 2.0, 2.0
FALSE_ALERTS_PER_HOUR = 1.0
TRAINING = TrainingConfig(epochs=40, batch=64)
PROVENANCE = {
    "data": "simulated record in the style of chf07, drawn from statistics of ECG5000",
    "source": "ECG5000 (UCR archive), from chf07 of the BIDMC Congestive Heart Failure Database, "
    "PhysioNet",
    "licence": "ODC-By 1.0",
}


@dataclass(frozen=True)
class Record:
    """The beats of a simulated record that may be judged, with what they really were.

    Attributes
    ----------
    beats : np.ndarray, shape (n, leads, length), float32
    anomalous : np.ndarray, shape (n,), bool
        From the annotations; for the check alone.
    beside_anomaly : np.ndarray, shape (n,), bool
        The beat before or after is anomalous: a part of that beat, or its pause, lies in the
        window, and an alert belongs to its episode.
    hours : float
    """

    beats: NDArray[np.float32]
    anomalous: NDArray[np.bool_]
    beside_anomaly: NDArray[np.bool_]
    hours: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, save and check one checkpoint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--window", choices=get_args(Window), default=BeatSpec().window)
    size = AutoencoderConfig()
    parser.add_argument("--embedding", type=int, default=size.embedding)
    parser.add_argument("--samples-per-step", type=int, default=size.samples_per_step)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--check-seed", type=int, default=1007)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the same weights everywhere, and no slower at this batch
    spec = BeatSpec(window=options.window)
    config = AutoencoderConfig(
        spec.length, options.embedding, samples_per_step=options.samples_per_step
    )
    checkpoint = build(spec, config, options.seed)
    save_checkpoint(checkpoint, options.out)
    record = simulate(spec, CHECK_HOURS, options.check_seed)
    print(
        json.dumps(
            {"window": spec.window, "identity": checkpoint.identity, **check(checkpoint, record)}
        )
    )


def build(spec: BeatSpec, config: AutoencoderConfig, seed: int) -> Checkpoint:
    """Train on one simulated record, set the threshold on another."""
    kept = usual_beats(simulate(spec, TRAINING_HOURS, seed))
    fitted = fit(kept, config, TRAINING)
    unseen = usual_beats(simulate(spec, THRESHOLD_HOURS, seed + 1))
    losses = Scorer(fitted.autoencoder).losses(unseen)
    return Checkpoint(
        autoencoder=fitted.autoencoder,
        spec=spec.to_mapping(),
        spec_identity=spec.identity,
        threshold=threshold_from_losses(losses, FALSE_ALERTS_PER_HOUR / BEATS_PER_HOUR),
        provenance={**PROVENANCE, "seed": seed, "beats": len(kept)},
    )


def usual_beats(record: Record) -> NDArray[np.float32]:
    """Return the beats of each lead's dominant shape, one lead after the other, (m, length)."""
    of_leads = (record.beats[:, lead] for lead in range(record.beats.shape[1]))
    return np.concatenate([beats[dominant_beats(beats)] for beats in of_leads])


def check(checkpoint: Checkpoint, record: Record) -> dict[str, Any]:
    """Compare verdicts with annotations: a beat is judged by the larger loss of its leads."""
    scorer, n_leads = Scorer(checkpoint.autoencoder), record.beats.shape[1]
    losses = np.max([scorer.losses(record.beats[:, lead]) for lead in range(n_leads)], axis=0)
    alerted = losses > checkpoint.threshold.value
    clear = record.anomalous | ~record.beside_anomaly
    false_per_hour = float((alerted & ~record.anomalous).sum()) / record.hours
    return {
        "beats": len(losses),
        "anomalous": int(record.anomalous.sum()),
        "auc": round(area_under_curve(losses, record.anomalous), 4),
        "threshold": round(checkpoint.threshold.value, 2),
        "recall": round(float(alerted[record.anomalous].mean()), 4),
        "false_alerts_per_hour": round(false_per_hour, 2),
        "auc_beside_no_anomaly": round(area_under_curve(losses[clear], record.anomalous[clear]), 4),
    }


def simulate(spec: BeatSpec, hours: float, seed: int) -> Record:
    """Write a record into a folder that goes again, and cut its judgeable beats."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated"
        write_record(path, SimulationSettings(hours=hours, seed=seed))
        signal = wfdb.rdrecord(str(path))
        annotation = wfdb.rdann(str(path), "ecg")
    segmenter = Segmenter(float(signal.fs), spec, signal.n_sig)
    found = segmenter.update(signal.p_signal.T.astype(np.float32)).beats
    beats = joined_beats([found, segmenter.flush().beats], spec.length, signal.n_sig)
    anomalous = annotated_anomalous(beats, annotation)
    beside = np.convolve(anomalous, [1, 0, 1], mode="same") > 0
    judged = beats.quality & UNJUDGEABLE == 0
    return Record(beats.values[judged], anomalous[judged], beside[judged], hours)


def annotated_anomalous(beats: Beats, annotation: wfdb.Annotation) -> NDArray[np.bool_]:
    """Return whether the annotation next to each beat is another beat than N, shape (n,)."""
    is_beat = np.isin(annotation.symbol, list("NrVSQ"))
    samples = np.asarray(annotation.sample)[is_beat]
    nearest = np.searchsorted((samples[1:] + samples[:-1]) / 2, beats.r_sample)
    return np.asarray(np.asarray(annotation.symbol)[is_beat][nearest] != "N")


if __name__ == "__main__":
    main()

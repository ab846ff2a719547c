"""`ecg-monitor evaluate noise`: learn clean minutes, judge noisy ones, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.errors import ModelError
from monitor.errors import InvalidOption, MonitorError
from monitor.offline.address import Address
from monitor.offline.at_hand import headers_at_hand
from monitor.offline.chosen_records import chosen_records
from monitor.offline.evaluation.noise_figures import NoiseResult, noise_of, noise_result
from monitor.offline.patients_run import PatientsOptions, judged_record
from monitor.offline.workers import run_tasks
from segmenter.errors import SegmenterError


@dataclass(frozen=True)
class _Task:
    """What a worker needs to know about each record."""

    record: Path | Address
    options: PatientsOptions


def records_with_noise(options: PatientsOptions) -> list[str]:
    """Return the noisy records of a folder, by the clean one and by less and less signal.

    Raises
    ------
    InvalidOption
        If the folder has none.
    """
    with headers_at_hand(options.folder) as folder:
        chosen = chosen_records(folder, options.records, options.shard)
    known = {name: noise_of(name) for name in chosen}
    noisy = {name: noise for name, noise in known.items() if noise is not None}
    if not noisy:
        raise InvalidOption(
            f"{options.folder} has no record whose name says its noise, as 118e24 and 118e_6 of "
            "the MIT-BIH Noise Stress Test Database do; give a folder of such"
        )
    return sorted(noisy, key=lambda name: (noisy[name][0], -noisy[name][1]))


def run(options: PatientsOptions, tell: Callable[[str, int, int], None]) -> list[NoiseResult]:
    """Return what became of each noisy record, by the clean one and by less and less signal.

    Parameters
    ----------
    tell : callable
        Told of each record that was judged, how many there are, and of how many.

    Raises
    ------
    InvalidOption
        If the folder has no such records, or none could be judged.
    StageFailed
        If a worker process died.
    """
    tasks = [_Task(options.folder / name, options) for name in records_with_noise(options)]
    results = run_tasks(
        _judge,
        tasks,
        options.workers,
        lambda one, n, of: tell(one.record, n, of),
        lambda task, why: _not_judged(task.record.name, f"passed over: {why}"),
    )
    if all(one.noisy is None for one in results):
        raise InvalidOption(
            f"no record of {options.folder} could be judged: {results[0].record}: {results[0].note}"
        )
    return results


def _judge(task: _Task) -> NoiseResult:
    name = task.record.name
    try:
        return noise_result(judged_record(task.record, task.options))
    except (MonitorError, SegmenterError, ModelError) as error:
        return _not_judged(name, str(error))


def _not_judged(name: str, why: str) -> NoiseResult:
    clean_record, snr_db = noise_of(name) or (name, float("nan"))
    return NoiseResult(name, clean_record, snr_db, note=why)

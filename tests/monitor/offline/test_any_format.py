"""The same signal in another file gives the same beats and the same anomalies."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import wfdb

from monitor.offline.annotate import annotate_records
from monitor.offline.workers import Workers
from monitor.sources.simulated import SimulationSettings, write_record
from tests.monitor.sources.edf_files import EdfLead, write_edf

FS_HZ = 250
SECONDS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of the simulated record as WFDB, EDF, CSV with decimal commas, and .npy."""
    folder = tmp_path_factory.mktemp("formats")
    write_record(folder / "sim", SimulationSettings(hours=SECONDS / 3600, seed=4))
    record = wfdb.rdrecord(str(folder / "sim"), physical=False)
    digital = record.d_signal.T.astype(np.int16)  # 200 a millivolt
    names = record.sig_name
    leads = [
        EdfLead(name, "uV", (-163840, 163835), (-32768, 32767), row)
        for name, row in zip(names, digital, strict=True)
    ]
    write_edf(folder / "sim.edf", leads, FS_HZ, 1.0, [float(one) for one in range(SECONDS)])
    lines = ["time [s];" + ";".join(f"{name} [mV]" for name in names)]
    for number, row in enumerate((digital.T / 200).tolist()):
        lines.append(f"{number / FS_HZ:.3f};" + ";".join(f"{one:.3f}" for one in row))
    (folder / "sim.csv").write_text("\n".join(lines).replace(".", ",") + "\n")
    return folder


@pytest.mark.parametrize("name", ["sim.edf", "sim.csv"])
def test_annotations_do_not_depend_on_the_format(folder: Path, tmp_path: Path, name: str) -> None:
    """Byte for byte: .qrs and .alm of the file are those of the WFDB record."""
    model = Path(str(resources.files("model") / "checkpoints" / "default.safetensors"))
    for record, out in ((folder / "sim", "wfdb"), (folder / name, "file")):
        (one,) = annotate_records([record], tmp_path / out, workers=Workers(1), checkpoint=model)
        assert one.error is None
        assert one.n_beats > 100
    for suffix in ("qrs", "alm"):
        as_wfdb = (tmp_path / "wfdb" / f"sim.{suffix}").read_bytes()
        assert (tmp_path / "file" / f"sim.{suffix}").read_bytes() == as_wfdb


def test_what_a_file_does_not_say_is_part_of_what_was_done(folder: Path, tmp_path: Path) -> None:
    """With another rate or unit a record is annotated again."""
    np.save(tmp_path / "bare.npy", wfdb.rdrecord(str(folder / "sim")).p_signal[:, 0])
    arguments = ([tmp_path / "bare.npy"], tmp_path / "out")
    (none,) = annotate_records(*arguments, workers=Workers(1))
    assert none.error is not None
    assert "add their sampling rate, such as --fs 250" in none.error
    for fs_hz, was_done in ((250.0, False), (250.0, True), (500.0, False)):
        (one,) = annotate_records(*arguments, workers=Workers(1), fs_hz=fs_hz, units="mV")
        assert (one.error, one.was_done) == (None, was_done)

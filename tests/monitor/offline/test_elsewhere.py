"""Archives that lie elsewhere: the same bytes as of one on this machine, and failures in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import fsspec
import pytest

from monitor.errors import InvalidOption, MonitorError, RecordError
from monitor.offline import store
from monitor.offline.address import Address, place
from monitor.offline.alarms_run import AlarmsOptions
from monitor.offline.alarms_run import run as run_alarms
from monitor.offline.annotate import Annotated, annotate_records
from monitor.offline.at_hand import at_hand, file_at_hand
from monitor.offline.evaluation.patient_figures import PatientResult
from monitor.offline.noise_run import run as run_noise
from monitor.offline.patients_run import PatientsOptions, records_to_evaluate
from monitor.offline.patients_run import run as run_patients
from monitor.offline.workers import Workers
from monitor.sources.simulated import ANNOTATION_EXTENSION, SimulationSettings, write_record
from monitor.sources.simulated_events import Event
from tests.monitor.offline.stores import (
    Answer,
    Web,
    broken_off,
    bucket_server,
    failing,
    ftp_server,
    sftp_server,
    web,
)
from tests.monitor.offline.test_alarms_run import write as write_alarm
from tests.real_data import MITDB

ONE = Workers(1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two records of twenty seconds."""
    folder = tmp_path_factory.mktemp("archive")
    for seed, name in enumerate(("a", "b")):
        write_record(folder / name, SimulationSettings(hours=20 / 3600, seed=seed))
    return folder


@pytest.fixture(scope="module")
def expected(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what annotating the archive where it lies gives."""
    out = tmp_path_factory.mktemp("expected")
    annotate_records([archive], out, workers=ONE)
    return files_of(out)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without a pause."""
    monkeypatch.setattr(store, "PAUSE_S", 0.0)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """Yield a file system in this process's memory, empty."""
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def served(archive: Path) -> Iterator[Web]:
    """Serve the archive on the web."""
    with web(archive) as server:
        yield server


def files_of(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}


def upload(fs: fsspec.AbstractFileSystem, folder: Path, to: str) -> None:
    for file in folder.iterdir():
        fs.pipe_file(f"{to}/{file.name}", file.read_bytes())


def plain(results: list[Annotated]) -> list[dict[str, object]]:
    """Return results without what names the record."""
    return [asdict(replace(one, record="")) for one in results]


def test_what_is_written_equals_what_a_folder_gives(
    archive: Path, expected: dict[str, bytes], memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    """Byte for byte, with the same figures; no other file is left."""
    upload(memory, archive, "/archive")
    results = annotate_records(["memory://archive/"], "memory://deep/found", workers=ONE)
    assert [one.record for one in results] == ["memory://archive/a", "memory://archive/b"]
    assert plain(results) == plain(annotate_records([archive], tmp_path, workers=ONE))
    found = {path: memory.cat_file(path) for path in memory.find("/deep/found")}
    notes = {f"/deep/found/.annotated/{name}.json" for name in "ab"}
    assert notes <= found.keys()
    assert {Path(path).name: found[path] for path in found.keys() - notes} == expected


def test_what_is_done_is_passed_over(archive: Path, memory: fsspec.AbstractFileSystem) -> None:
    """What changed, a file that is not as it was written, and --again are done anew."""
    upload(memory, archive, "/archive")

    def done(*, again: bool = False) -> list[bool]:
        one = annotate_records(["memory://archive"], "memory://found", workers=ONE, again=again)
        assert [result.error for result in one] == [None, None]
        return [result.was_done for result in one]

    assert done() == [False, False]
    assert done() == [True, True]
    assert done(again=True) == [False, False]
    memory.pipe_file("/archive/a.dat", (archive / "a.dat").read_bytes())  # the same, written anew
    memory.pipe_file("/found/b.qrs", b"half")
    assert done() == [False, False]
    assert done() == [True, True]


def test_records_are_told_apart_from_folders(
    archive: Path, expected: dict[str, bytes], memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    """A record with and without its suffix; a folder of folders."""
    upload(memory, archive, "/all/deep/archive")
    for number, named in enumerate(
        (["all"], ["all/deep"], ["all/deep/archive/a", "all/deep/archive/b.hea"])
    ):
        out = tmp_path / str(number)
        annotate_records([f"memory://{name}" for name in named], out, workers=ONE)
        assert files_of(out) == expected


def test_workers_fetch_for_themselves(
    expected: dict[str, bytes], served: Web, tmp_path: Path
) -> None:
    """Two processes, from the web: the folder's page names the records."""
    results = annotate_records([served.url], tmp_path, workers=Workers(2))
    assert [one.error for one in results] == [None, None]
    assert files_of(tmp_path) == expected
    assert all(one.was_done for one in annotate_records([served.url], tmp_path, workers=Workers(2)))


def test_a_change_on_the_web_is_seen(archive: Path, tmp_path: Path) -> None:
    """Of the same length: by its time; fsspec's own mark of a file on the web never changes."""
    shutil.copytree(archive, tmp_path / "in")
    with web(tmp_path / "in") as server:
        for was_done in (False, True):
            results = annotate_records([server.url], tmp_path / "out", workers=ONE)
            assert [one.was_done for one in results] == [was_done] * 2
        os.utime(tmp_path / "in" / "a.dat", (1e9, 1e9))
        results = annotate_records([server.url], tmp_path / "out", workers=ONE)
    assert [one.was_done for one in results] == [False, True]


def test_another_format_is_one_file(tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    """Named with its suffix, as on this machine."""
    rows = "".join(f"{n / 250},{(n % 200 == 0) * 1.0}\n" for n in range(5000))
    (tmp_path / "night.csv").write_text(f"time,II\n{rows}")
    memory.pipe_file("/in/night.csv", (tmp_path / "night.csv").read_bytes())
    here = annotate_records([tmp_path / "night.csv"], tmp_path / "here", workers=ONE, units="mV")
    there = annotate_records(["memory://in/night.csv"], tmp_path / "there", workers=ONE, units="mV")
    assert here[0].error is None
    assert plain(here) == plain(there)
    assert files_of(tmp_path / "here") == files_of(tmp_path / "there")


def test_warnings_and_errors_name_the_address(
    archive: Path, memory: fsspec.AbstractFileSystem, tmp_path: Path
) -> None:
    """Never the folder in which a record lies for a while; a lead's missing file is a warning."""
    upload(memory, archive, "/archive")
    whole = (archive / "a.dat").read_bytes()
    memory.pipe_file("/archive/a.dat", whole[: len(whole) * 3 // 4])
    memory.pipe_file("/archive/b.hea", b"b 1 0 1000\nb.dat 16\n")
    short, broken = annotate_records(["memory://archive"], tmp_path / "out", workers=ONE)
    assert short.error is None
    assert "memory://archive/a.dat is short" in short.warnings[0]
    assert "header memory://archive/b.hea" in str(broken.error)
    shown = f"{short.warnings} {broken.error}"
    assert "ecg-record-" not in shown
    assert "tmp" not in shown


def test_a_file_of_a_lead_that_is_missing_is_as_here(
    tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    """The lead is left out, and the other one read."""
    folder = tmp_path / "in"
    write_record(folder / "r", SimulationSettings(hours=20 / 3600, seed=1))
    lines = (folder / "r.hea").read_text().splitlines()
    content = (folder / "r.dat").read_bytes()
    lines[2] = lines[2].replace("r.dat", "gone.dat")
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    (folder / "r.dat").write_bytes(content)
    upload(memory, folder, "/in")
    (here,) = annotate_records([folder], tmp_path / "here", workers=ONE)
    (there,) = annotate_records(["memory://in"], tmp_path / "there", workers=ONE)
    assert there.leads == ("ECG1",)
    assert plain([here]) == plain([there])
    assert files_of(tmp_path / "here") == files_of(tmp_path / "there")


@pytest.mark.parametrize("answer", [failing(503, 2), broken_off(2)], ids=["refused", "broken off"])
def test_what_fails_on_the_way_is_tried_again(
    expected: dict[str, bytes], served: Web, tmp_path: Path, answer: Answer
) -> None:
    """Three times; the files are those of an undisturbed run."""
    served.answers["/a.dat"] = answer
    results = annotate_records([served.url], tmp_path, workers=ONE)
    assert [one.error for one in results] == [None, None]
    assert files_of(tmp_path) == expected
    assert served.requested.count("GET /a.dat") == 3


def test_a_record_that_cannot_be_fetched_does_not_keep_the_rest(
    served: Web, tmp_path: Path
) -> None:
    """It is told with its address, how often it was tried, and nothing of it is written."""
    served.answers["/a.dat"] = broken_off(9)
    failed, done = annotate_records([served.url], tmp_path, workers=ONE)
    assert f"{served.url}/a.dat cannot be fetched" in str(failed.error)
    assert "(tried 3 times)" in str(failed.error)
    assert done.error is None
    assert sorted(files_of(tmp_path)) == ["b.qrs"]


def test_a_server_that_fails_has_no_missing_file(served: Web, tmp_path: Path) -> None:
    """Fsspec calls any failure a file that is missing; the lead would be left out in silence."""
    served.answers |= {"HEAD /a.dat": failing(500), "/a.dat": failing(500)}
    failed, done = annotate_records([served.url], tmp_path, workers=ONE)
    assert "a.dat cannot be fetched: 500" in str(failed.error)
    assert done.error is None


def test_what_is_forbidden_is_not_asked_for_again(served: Web, tmp_path: Path) -> None:
    """Once is enough."""
    served.answers |= {"HEAD /a.hea": failing(403), "/a.hea": failing(403)}
    with pytest.raises(InvalidOption, match=r"a cannot be read: 403"):
        annotate_records([f"{served.url}/a"], tmp_path, workers=ONE)
    assert served.requested.count("GET /a.hea") == 1


def test_a_header_leads_nowhere_else(served: Web, archive: Path, tmp_path: Path) -> None:
    """What it names is fetched from its folder alone; an endless one is cut."""

    def header(text: bytes) -> Answer:
        def answer(handler: SimpleHTTPRequestHandler) -> bool:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(text)))
            handler.end_headers()
            if handler.command == "GET":
                handler.wfile.write(text)
            return True

        return answer

    for text, why in (
        (b"a 1 250 5000\n../secret 16\n", "not a plain name"),
        (b"a 1 250 5000\n" + b"#" * (2 << 20), "no header is over a mebibyte"),
        (b"a 1 250 999999999999999\na.dat 16\n", "no record is longer than a year"),
    ):
        served.answers |= {"/a.hea": header(text), "HEAD /a.hea": header(text)}
        served.requested.clear()
        (failed,) = annotate_records([f"{served.url}/a"], tmp_path, workers=ONE)
        assert why in str(failed.error)
        assert not [one for one in served.requested if "secret" in one or ".dat" in one]


def test_a_record_that_is_too_large_is_refused_before_it_is_fetched(
    served: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this machine has room for is the bound."""
    monkeypatch.setattr("monitor.offline.at_hand.MAX_RECORD_BYTES", 1000)
    failed, _ = annotate_records([served.url], tmp_path, workers=ONE)
    assert "a.dat cannot be fetched: it has" in str(failed.error)
    assert "1,000 can be taken" in str(failed.error)
    assert "GET /a.dat" not in served.requested


def test_where_nothing_can_be_written_is_refused_first(served: Web) -> None:
    """Before any record is read."""
    with pytest.raises(InvalidOption, match=r"cannot write to http://.*501"):
        annotate_records([f"{served.url}/a"], f"{served.url}/out", workers=ONE)
    assert "GET /a.dat" not in served.requested


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nothing://x/y", "no file system is called nothing; known are s3"),
        ("http://host/r?key=1", "no plain address"),
        ("simplecache::s3://b/r", "no plain address"),
        ("memory://", "names no place"),
    ],
)
def test_an_address_that_is_none_is_refused(text: str, why: str) -> None:
    """What is wrong, and an example."""
    with pytest.raises(InvalidOption, match=why):
        place(text)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As fsspec knows it."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.delitem(fsspec.registry, "gs", raising=False)
    with pytest.raises(InvalidOption, match=r"gs://b/r cannot be opened: .*gcsfs"):
        place("gs://b/r")


@pytest.mark.parametrize("text", ["a/b", "/a", "file:///a/b", "tcp://host:1", "C:/a"])
def test_what_is_no_address_is_a_path(text: str) -> None:
    """Files of this machine are read where they lie; live sources keep their names."""
    assert isinstance(place(text), Path)
    assert place("file:///a/b") == Path("/a/b")


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    """Neither of a record nor of a folder, in results or errors."""
    address = Address("ftp://me:secret@127.0.0.1:9/x")
    assert str(address) == "ftp://me@127.0.0.1:9/x"
    for records, out in (([address / "r"], tmp_path), ([tmp_path / "r"], address)):
        with pytest.raises(MonitorError) as caught:
            annotate_records(records, out, workers=ONE)
        assert "secret" not in str(caught.value)


def test_a_record_that_is_not_there_says_what_is(
    archive: Path, memory: fsspec.AbstractFileSystem
) -> None:
    """As of one on this machine; so does a folder that is empty."""
    upload(memory, archive, "/archive")
    with (
        pytest.raises(RecordError, match=r"c does not exist; memory://archive holds a, b"),
        at_hand(Address("memory://archive/c")),
    ):
        pass
    for folder, why in (("empty", "there is no folder memory://empty"), ("up", "archive does")):
        upload(memory, archive, "/up/archive")
        with pytest.raises(MonitorError, match=why):
            records_to_evaluate(PatientsOptions(Address(f"memory://{folder}")))


# --- evaluations ------------------------------------------------------------------------------


def without_times(results: list[PatientResult]) -> list[dict[str, object]]:
    return [asdict(replace(one, learning_cpu_s=0.0)) for one in results]


def test_patients_and_noise_are_evaluated_as_here(
    tmp_path: Path, memory: fsspec.AbstractFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit; a paced record of MIT-BIH is known by its header alone."""
    monkeypatch.setattr("model.learning.TRAINED_FLOP", 4e9)
    folder = tmp_path / "db"
    write_record(folder / "1e12", SimulationSettings(hours=0.1, seed=5, anomaly_rate=0.1))
    (folder / "102.hea").write_text("102 1 360 650000\n102.dat 212 200 11 1024 0 0 0 V5\n")
    upload(memory, folder, "/db")
    here = PatientsOptions(folder, learn_s=150.0, workers=ONE, ref_ext=ANNOTATION_EXTENSION)
    there = replace(here, folder=Address("memory://db"))
    tell = lambda *_: None  # noqa: E731
    assert records_to_evaluate(there) == (["1e12"], ["102"])
    of_patients = [run_patients(options, tell) for options in (here, there)]
    assert of_patients[0][0].figures is not None
    assert without_times(of_patients[0]) == without_times(of_patients[1])
    assert repr(run_noise(here, tell)) == repr(run_noise(there, tell))


def test_alarms_are_evaluated_as_here(tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    """Each record's alarm is read from its header."""
    event = Event("asystole", 291.0, 8.0)
    write_alarm(tmp_path, "a1", event, ["Asystole", "True alarm"])
    write_alarm(tmp_path, "a2", event, ["Hiccup", "True alarm"])
    upload(memory, tmp_path, "/alarms")
    (here, no_alarm), (there, none_there) = (
        run_alarms(AlarmsOptions(folder, workers=ONE), lambda *_: None)
        for folder in (tmp_path, Address("memory://alarms"))
    )
    assert here == there
    assert here.ecg
    assert none_there.note == no_alarm.note.replace(str(tmp_path), "memory://alarms")


def test_one_file_is_fetched_whole_and_bounded(
    tmp_path: Path, memory: fsspec.AbstractFileSystem
) -> None:
    """As `score` takes it; an error names the address."""
    memory.pipe_file("/data/TEST.txt", b"1 2 3\n")
    with file_at_hand(Address("memory://data/TEST.txt"), 100) as file:
        assert (file.name, file.read_bytes()) == ("TEST.txt", b"1 2 3\n")
    assert not file.exists()
    for name, most_bytes, why in (("TEST.txt", 5, "it has 6 bytes"), ("no", 5, "does not exist")):
        with (
            pytest.raises(RecordError, match=f"memory://data/{name} cannot be fetched: {why}"),
            file_at_hand(Address(f"memory://data/{name}"), most_bytes),
        ):
            pass
    with file_at_hand(tmp_path, 5) as file:
        assert file == tmp_path


# --- other people's servers -------------------------------------------------------------------


def annotate_command(
    *arguments: object, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `annotate` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "monitor", "annotate", *map(str, arguments)],
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_bucket_is_read_and_written(
    archive: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """By the package s3fs, from a server of its protocol; no bucket is ever made."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    pytest.importorskip("localbucket", reason="no S3 server is installed")
    (tmp_path / "ward").mkdir()
    for file in archive.iterdir():
        (tmp_path / "ward" / file.name).write_bytes(file.read_bytes())
    with bucket_server(tmp_path) as env:
        for told in ("", ", done before"):
            done = annotate_command("s3://ward", "--out", "s3://ward/found", "--jobs", 2, env=env)
            assert (done.returncode, done.stdout.count(f"verdict{told}\n")) == (0, 2)
            assert files_of(tmp_path / "ward" / "found") == expected
        absent = annotate_command("s3://ward/a", "--out", "s3://mistyped/found", env=env)
        assert absent.returncode == 2
        assert "there is no such bucket or folder" in absent.stderr
        nobody = annotate_command("s3://mistyped", "--out", "s3://ward/found", env=env)
        assert nobody.returncode == 2
        assert "there is no folder s3://mistyped" in nobody.stderr
    assert not (tmp_path / "mistyped").exists()


def test_a_server_of_files_is_read_and_written(
    archive: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """Over FTP: what is there is replaced by a rename, and the password is in no word."""
    pytest.importorskip("pyftpdlib", reason="no FTP server is installed")
    for file in archive.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with ftp_server(tmp_path, "me", "secret") as url:
        for again in ([], ["--again"], []):
            done = annotate_command(url, "--out", f"{url}/deep/found", "--jobs", 1, *again)
            assert done.returncode == 0, done.stderr
            assert "secret" not in done.stdout + done.stderr
        assert done.stdout.count("done before") == 2
    assert files_of(tmp_path / "deep" / "found") == expected


def test_an_ssh_server_is_believed_that_is_known(
    archive: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """By its key in ~/.ssh/known_hosts; to any other nothing is sent."""
    for package in ("paramiko", "asyncssh"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    (tmp_path / "root").mkdir()
    (tmp_path / ".ssh").mkdir()
    for file in archive.iterdir():
        (tmp_path / "root" / file.name).write_bytes(file.read_bytes())
    env = {"HOME": str(tmp_path)}
    key = tmp_path / "key"
    with sftp_server(tmp_path / "root", "me", "secret", key) as url:
        command = (url, "--out", f"{url}/deep/found", "--jobs", 1)
        unknown = annotate_command(*command, env=env)
        assert unknown.returncode == 2
        assert "connect once with ssh" in unknown.stderr
        key.rename(tmp_path / ".ssh" / "known_hosts")
        for told in ("", ", done before"):
            done = annotate_command(*command, env=env)
            assert (done.returncode, done.stdout.count(f"verdict{told}\n")) == (0, 2), done.stderr
            assert "secret" not in done.stdout + done.stderr
    assert files_of(tmp_path / "root" / "deep" / "found") == expected


@pytest.mark.skipif(not MITDB.is_dir(), reason="no shared records here")
def test_a_real_record_from_the_web_is_as_here(tmp_path: Path) -> None:
    """One of MIT-BIH, found by its folder's page."""
    name = next(iter(sorted(MITDB.glob("*.hea")))).stem
    with web(MITDB) as server:
        (there,) = annotate_records([f"{server.url}/{name}"], tmp_path / "there", workers=ONE)
    (here,) = annotate_records([MITDB / name], tmp_path / "here", workers=ONE)
    assert plain([here]) == plain([there])
    assert files_of(tmp_path / "here") == files_of(tmp_path / "there")

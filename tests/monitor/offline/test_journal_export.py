"""What a journal holds can be listed, drawn and exported, while it is written, too."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import wfdb
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.errors import JournalFailed
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.reader import JournalReader
from monitor.journal.run import JournaledRun
from monitor.journal.writer import Journal, Progress
from monitor.wire.codec import all_encoded
from monitor.wire.messages import Alert, Stream, Technical
from tests.messages import alarm, alert, technical
from tests.monitor.databases import execute

SAID: list[Alert | Technical] = [
    alert(seq=1, id="aaaa0001", sample=3600, wall_time="2026-01-01T00:00:01.000Z"),
    alert(seq=2, id="aaaa0002", sample=7200, state="ongoing", wall_time="2026-01-01T00:00:02.000Z"),
    technical(seq=3, id="bbbb0003", wall_time="2026-01-01T00:00:03.000Z"),
    alert(seq=4, id="cccc0004", patient="208", wall_time="2026-01-01T00:00:04.000Z"),
]
VALUES = np.sin(np.arange(140, dtype="<f4"))
RUN = JournaledRun(
    [Stream(name, name, ["MLII"], 360.0, 0, 650_000) for name in ("119", "208")],
    "m1",
    "loss-1-of-1",
    None,
    None,
    1.0,
)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Return a journal that its writer still has open."""
    with Journal(tmp_path / "night.sqlite") as journal:
        journal.begin(RUN)
        beats = [
            KeptBeat("119", 3600 + 300 * n, ("MLII",), (10.0,), (26.0,), VALUES.tobytes())
            for n in range(-10, 11)
        ]
        journal.commit(all_encoded(SAID), [], beats)
        yield tmp_path / "night.sqlite"


def listed(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_lines_tell_number_identity_and_what_was_said(path: Path) -> None:
    """One line each, in order."""
    lines = listed("history", path).splitlines()
    assert [line.split()[:2] for line in lines] == [[str(n), SAID[n - 1].id] for n in (1, 2, 3, 4)]
    assert "TECHNICAL onset" in lines[2]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (("--patient", "208"), [4]),
        (("--since", "2026-01-01T00:00:02.5Z"), [3, 4]),
        (("--since", "2026-01-01T00:00:02.5Z", "--patient", "119"), [3]),
    ],
)
def test_time_and_patient_choose(path: Path, options: tuple[str, ...], numbers: list[int]) -> None:
    """What was said before, or of others, is left out."""
    lines = listed("history", path, "--json", *options).splitlines()
    assert [json.loads(line)["seq"] for line in lines] == numbers


@pytest.mark.parametrize("options", [(), ("--json",), ("--csv",), ("--alm", "out")])
@pytest.mark.parametrize(
    ("name", "hint"), [("nobody", "known are 119, 208"), ("1190", "did you mean 119?")]
)
def test_a_patient_who_never_was_there_is_an_error(
    path: Path, options: tuple[str, ...], name: str, hint: str
) -> None:
    """No lines would look like a quiet night; names that are there are given."""
    command = ["history", str(path), "--patient", name, *options]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{name!r}: this journal knows no such patient" in result.stderr
    assert hint in result.stderr


def test_a_quiet_patient_is_no_error(path: Path) -> None:
    """Who is monitored and had no alert, whose alerts are older, and the monitor itself."""
    with Journal(path.with_name("quiet")) as journal:
        journal.commit([], [Progress("301", 500, b"state", {})])
    assert listed("history", path.with_name("quiet"), "--patient", "301") == ""
    assert listed("history", path, "--patient", "208", "--since", "2030-01-01T00:00:00Z") == ""
    assert listed("history", path, "--patient", "monitor") == ""


def test_more_than_a_page_is_listed(tmp_path: Path) -> None:
    """A long history is read page by page, and whole."""
    with Journal(tmp_path / "j") as journal:
        journal.commit(all_encoded([alert(seq=n, id=str(n)) for n in range(1, 1203)]), [])
    with JournalReader(tmp_path / "j") as reader:
        assert [one.seq for one in reader.alerts()] == list(range(1, 1203))


def test_csv_has_a_column_a_field_and_no_formulas(path: Path, tmp_path: Path) -> None:
    """A name that a spreadsheet would run is made text; numbers stay numbers."""
    with Journal(tmp_path / "j") as journal:
        journal.commit(all_encoded([alert(seq=1, patient='=cmd|"x"', loss=-1.5)]), [])
    (row,) = csv.DictReader(io.StringIO(listed("history", tmp_path / "j", "--csv")))
    assert row["patient"] == '\'=cmd|"x"'
    assert float(row["loss"]) == -1.5
    rows = list(csv.DictReader(io.StringIO(listed("history", path, "--csv"))))
    assert [row["event"] for row in rows] == ["", "", "noisy", ""]
    assert rows[0]["rr_after_ms"] == ""


def test_families_and_words_are_columns(tmp_path: Path) -> None:
    """Of an alert the family, of a person's word who said what."""
    said = alert(seq=2, id="b", state="marked", family=3, word="normal", by="=ana")
    with Journal(tmp_path / "j") as journal:
        journal.commit(all_encoded([alert(seq=1, id="a", family=3), said]), [])
    rows = csv.DictReader(io.StringIO(listed("history", tmp_path / "j", "--csv")))
    told = [[row[name] for name in ("state", "family", "word", "by")] for row in rows]
    assert told == [["onset", "3", "", ""], ["marked", "3", "normal", "'=ana"]]


def test_an_alert_is_drawn_with_the_beats_around(path: Path) -> None:
    """Words, the beat over its reconstruction, ten losses on either side, the beats themselves."""
    shown = listed("show", path, "aaaa0001")
    assert "ALERT onset" in shown
    assert "identity aaaa0001" in shown
    assert "losses of 10 beats before and 10 after" in shown
    assert (
        sum(any("\u2801" <= sign <= "\u28ff" for sign in line) for line in shown.splitlines()) > 6
    )
    assert shown == listed("show", path, "1")
    assert "episode from sample 3600, 1 beat  RR" in shown


def test_where_evidence_judged_scores_are_shown(tmp_path: Path) -> None:
    """With the letter of each anomalous beat, whatever its loss; the bound is 1."""
    scores = [0.5] * 10 + [20.0, 3.0] + [0.5] * 9
    with Journal(tmp_path / "j") as journal:
        beats = [
            KeptBeat("119", 300 * n, ("I",), (10.0,), (26.0,), VALUES.tobytes(), score, True)
            for n, score in enumerate(scores)
        ]
        of_alert = alert(seq=1, id="aaaa0001", sample=3000, family=3, score=20.0, loss=10.0)
        journal.commit(all_encoded([of_alert]), [], beats)
    lines = listed("show", tmp_path / "j", "1").splitlines()
    place = lines.index("scores of 10 beats before and 10 after")
    assert "loss 10.0 / 26.0 (score 20.0)" in lines[0]
    plotted = lines[place + 1 : place + 9]
    assert any(line.startswith("  1.0 ") for line in plotted)
    assert plotted[-1].strip() == "AA"


def test_an_alert_is_explained_in_a_file(path: Path, tmp_path: Path) -> None:
    """As a picture, as a page, or as both; an alert of the signal has has no beat to draw."""
    wanted = [tmp_path / "1.png", tmp_path / "1.html"]
    assert listed("show", path, "1", "--png", wanted[0], "--html", wanted[1]) == ""
    assert wanted[0].read_bytes().startswith(b"\x89PNG")
    assert wanted[1].read_text().startswith("<!DOCTYPE html>")
    refused = CliRunner().invoke(app, ["show", str(path), "3", "--png", str(tmp_path / "3.png")])
    assert refused.exit_code == 2
    assert "has no beat to draw" in refused.stderr


def test_a_technical_alert_is_words_only(path: Path) -> None:
    """There is no beat to draw."""
    assert "too noisy" in listed("show", path, "3")


@pytest.mark.parametrize(
    ("name", "said"),
    [("7", "no alert"), ("aaaa", "2 identities"), ("aaa", "4 digits"), ("*", "no")],
)
def test_a_name_that_names_no_one_alert(path: Path, name: str, said: str) -> None:
    """The message says what can be given."""
    result = CliRunner().invoke(app, ["show", str(path), name])
    assert result.exit_code == 2
    assert said in result.stderr


def test_alerted_beats_become_wfdb_annotations(path: Path, tmp_path: Path) -> None:
    """One annotation an alerted beat in <patient>.alm, at the record's rate, loss in the note."""
    listed("history", path, "--alm", tmp_path / "out")
    annotation = wfdb.rdann(str(tmp_path / "out" / "119"), "alm")
    assert list(annotation.sample) == [3600, 7200]
    assert annotation.fs == 360
    assert annotation.aux_note[0] == "loss=52.00 threshold=26.00"
    assert (tmp_path / "out" / "208.alm").exists()


def test_the_note_of_a_beat_that_evidence_judged_has_its_score(tmp_path: Path) -> None:
    """Its loss may be below the threshold."""
    with Journal(tmp_path / "j") as journal:
        journal.begin(RUN)
        of_alert = alert(seq=1, id="aaaa0001", loss=13.0, ratio=0.5, family=3, score=2.5)
        journal.commit(all_encoded([of_alert]), [])
    listed("history", tmp_path / "j", "--alm", tmp_path / "out")
    annotation = wfdb.rdann(str(tmp_path / "out" / "119"), "alm")
    assert annotation.aux_note == ["loss=13.00 threshold=26.00 score=2.50"]


NIGHT: list[Alert | Technical] = [
    alert(seq=1, id="aaaa0001", sample=2000),
    alarm(seq=2, id="dddd0002"),
    alert(seq=3, id="aaaa0003", sample=3000),
    alarm(seq=4, id="dddd0004", state="acknowledged", sample=4000, time_s=4000 / 360),
    alarm(seq=5, id="dddd0005", state="cleared", sample=5400, time_s=15.0),
]


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Return a journal with a named alarm among alerts of beats."""
    with Journal(tmp_path / "night.sqlite") as journal:
        journal.begin(RUN)
        journal.commit(all_encoded(NIGHT), [])
    return tmp_path / "night.sqlite"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Return a record of 20 s, as the journal says that it was monitored."""
    signal = 0.5 * np.sin(np.arange(20 * 360) / 40)[:, None]
    wfdb.wrsamp("119", 360, ["mV"], ["MLII"], signal, fmt=["16"], write_dir=str(tmp_path))
    return tmp_path / "119"


def test_a_named_alarm_is_an_annotation_where_it_began(night: Path, tmp_path: Path) -> None:
    """Its kind comes first in the note, then when it was raised; its end is another."""
    listed("history", night, "--alm", tmp_path / "out")
    notes = wfdb.rdann(str(tmp_path / "out" / "119"), "alm")
    assert list(notes.sample) == [2000, 2340, 3000, 5400]
    assert notes.symbol == ["Q", '"', "Q", '"']
    assert notes.aux_note[1] == "asystole priority=high raised_s=10.000"
    assert notes.aux_note[3] == "asystole over"


def test_a_named_alarm_is_listed_with_its_kind(night: Path) -> None:
    """In lines, in columns and in JSON; it has no loss, and nothing says None."""
    lines = listed("history", night).splitlines()
    assert (
        "ALARM onset    high    asystole: no QRS complex for 3.5 s and more  since 00:00:06.500"
        in lines[1]
    )
    rows = list(csv.DictReader(io.StringIO(listed("history", night, "--csv"))))
    assert [row["kind"] for row in rows[:2]] == ["anomalous_beats", "asystole"]
    told = [rows[1][name] for name in ("state", "priority", "loss", "ratio", "text")]
    assert told == ["onset", "high", "", "", "asystole: no QRS complex for 3.5 s and more"]
    (_, told_json, *_) = map(json.loads, listed("history", night, "--json").splitlines())
    assert (told_json["kind"], told_json["loss"]) == ("asystole", None)
    assert "None" not in listed("history", night) + listed("history", night, "--csv")


def test_a_named_alarm_is_shown_in_words_or_with_its_signal(night: Path, record: Path) -> None:
    """The journal keeps no signal: the record has it."""
    words = listed("show", night, "2")
    assert "began at sample 2340, 00:00:06.500" in words
    assert "the journal keeps no signal" in words
    assert "None" not in words
    drawn = listed("show", night, "2", "--record", record)
    assert sum(any("\u2801" <= sign <= "\u28ff" for sign in row) for row in drawn.splitlines()) >= 3
    assert "┌ asystole began 00:00:06.5  ▲ raised 00:00:10.0" in drawn
    assert "MLII" in drawn


def test_a_record_that_says_no_rate_and_unit_is_drawn_where_both_are_given(
    night: Path, tmp_path: Path
) -> None:
    """As `replay` took it; without them what is missing is named."""
    table = tmp_path / "ecg.csv"
    table.write_text("MLII\n" + "".join(f"{math.sin(n / 20):.3f}\n" for n in range(7200)))
    said = ("--record", table, "--fs", "360", "--units", "mV")
    assert "began 00:00:06.5" in listed("show", night, "2", *said)
    done = CliRunner().invoke(app, ["show", str(night), "2", "--record", str(table)])
    assert done.exit_code == 2
    assert "add --fs, such as --fs 250, and --units mV" in done.output


def test_a_named_alarm_is_a_page_with_or_without_its_signal(
    night: Path, record: Path, tmp_path: Path
) -> None:
    """Its facts, and with the record a picture."""
    wanted = [tmp_path / name for name in ("bare.html", "2.html", "2.png")]
    assert listed("show", night, "2", "--html", wanted[0]) == ""
    bare = wanted[0].read_text()
    assert "Asystole of 119" in bare
    assert "The journal keeps no signal" in bare
    assert "<img" not in bare
    listed("show", night, "2", "--record", record, "--html", wanted[1], "--png", wanted[2])
    assert "<img" in wanted[1].read_text()
    assert "None" not in bare + wanted[1].read_text().partition("<img")[0]
    assert wanted[2].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["2", "--png", "2.png"], "add --record RECORD"),
        (["1", "--record", "{record}"], "leave --record out"),
        (["2", "--record", "{folder}/nothing"], "nothing"),
        (["2", "--record", "{folder}/slow"], "has 250 Hz, the one that was monitored 360"),
        (["2", "--record", "{folder}/short"], "ends before sample 3600"),
    ],
)
def test_a_signal_that_cannot_be_shown_is_refused(
    night: Path, record: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    """In one line that says what to do."""
    for name, fs_hz, n_samples in (("slow", 250, 9000), ("short", 360, 900)):
        signal = np.zeros((n_samples, 1))
        wfdb.wrsamp(name, fs_hz, ["mV"], ["MLII"], signal, fmt=["16"], write_dir=str(tmp_path))
    words = [one.format(record=record, folder=tmp_path) for one in options]
    result = CliRunner().invoke(app, ["show", str(night), *words])
    assert result.exit_code == 2
    assert said in result.stderr


def test_only_beats_are_exported_in_the_order_of_their_samples(tmp_path: Path) -> None:
    """An acknowledgement is of no beat; a stream judged again comes behind itself."""
    said: list[Alert | Technical] = [
        alert(seq=1, id="a1", sample=7200),
        alert(seq=2, id="a2", sample=9000, state="acknowledged"),
        alert(seq=3, id="a3", sample=3600, state="ongoing"),
        alert(seq=4, id="a4", sample=9900, state="cleared"),
    ]
    with Journal(tmp_path / "j") as journal:
        journal.begin(RUN)
        journal.commit(all_encoded(said), [])
        listed("history", tmp_path / "j", "--alm", tmp_path / "out")
    assert list(wfdb.rdann(str(tmp_path / "out" / "119"), "alm").sample) == [3600, 7200]


def test_two_patients_do_not_share_a_file(tmp_path: Path) -> None:
    """Names that differ in a sign which files cannot have are refused."""
    streams = [Stream(name, "r", ["I"], 360.0, 0, None) for name in ("a#2", "a-2")]
    with Journal(tmp_path / "j") as journal:
        journal.begin(JournaledRun(streams, "", "", None, None, 1))
        said = [alert(seq=n, id=f"a{n}", patient=s.patient) for n, s in enumerate(streams, 1)]
        journal.commit(all_encoded(said), [])
    result = CliRunner().invoke(app, ["history", str(tmp_path / "j"), "--alm", str(tmp_path / "o")])
    assert result.exit_code == 2
    assert "share a file" in result.stderr


def test_an_identity_is_made_harmless(tmp_path: Path) -> None:
    """A journal from elsewhere sends nothing to the terminal but text."""
    with Journal(tmp_path / "j") as journal:
        journal.begin(RUN)
        journal.commit(all_encoded([alert(seq=1, id="\x1bc\x1b]0;x\x07")]), [])
        assert "\x1b" not in listed("history", tmp_path / "j")
        assert "\x1b" not in listed("show", tmp_path / "j", "1")


def test_a_patient_s_name_leads_nowhere(tmp_path: Path) -> None:
    """A name with a path in it writes no file elsewhere."""
    with Journal(tmp_path / "j") as journal:
        journal.begin(
            JournaledRun([Stream("../x", "x", ["I"], 360.0, 0, None)], "", "", None, None, 1)
        )
        journal.commit(all_encoded([alert(seq=1, patient="../x")]), [])
    result = CliRunner().invoke(app, ["history", str(tmp_path / "j"), "--alm", str(tmp_path / "o")])
    assert result.exit_code == 2
    assert not list(tmp_path.glob("*.alm"))


@pytest.mark.parametrize("content", [None, b"", b"no database" * 500])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty or foreign file is named in one line, and not made a journal."""
    path = tmp_path / "j.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JournalFailed, match=r"j\.sqlite"):
        JournalReader(path)
    assert path.exists() is (content is not None)


def test_a_damaged_journal_is_an_error_not_a_crash(path: Path) -> None:
    """Rows that hold no alert or no run are reported in one line."""
    execute(path, "UPDATE alerts SET message = x'ff'", "UPDATE run SET description = x'00'")
    with JournalReader(path) as reader:
        with pytest.raises(JournalFailed, match="an alert cannot be read"):
            list(reader.alerts())
        with pytest.raises(JournalFailed, match="its run"):
            reader.run()


def test_a_kept_score_that_is_damaged_is_one_line(path: Path) -> None:
    """A score is a number, 0 or more."""
    beat = KeptBeat("119", 3900, ("MLII",), (10.0,), (26.0,), VALUES.tobytes(), math.nan)
    content = msgspec.msgpack.encode(beat).hex()
    execute(path, f"UPDATE beats SET beat = x'{content}' WHERE sample = 3900")
    result = CliRunner().invoke(app, ["show", str(path), "1"])
    assert result.exit_code == 2
    assert "the kept beat at sample 3900 is not one" in result.stderr


@pytest.mark.parametrize("damage", ["000000", "0000c07f", "ffff7f7f"])
def test_a_kept_beat_that_is_damaged_is_one_line(path: Path, damage: str) -> None:
    """Bytes that are not numbers, not finite, or implausibly large cannot be a beat."""
    beat = KeptBeat("119", 3900, ("MLII",), (10.0,), (26.0,), bytes.fromhex(damage))
    content = msgspec.msgpack.encode(beat).hex()
    execute(path, f"UPDATE beats SET beat = x'{content}' WHERE sample = 3900")
    result = CliRunner().invoke(app, ["show", str(path), "1"])
    assert result.exit_code == 2
    assert "the kept beat at sample 3900 is not one" in result.stderr


def test_colours_do_not_reach_a_pipe(path: Path) -> None:
    """Off a terminal the drawing is plain text."""
    assert "\x1b" not in listed("show", path, "1")

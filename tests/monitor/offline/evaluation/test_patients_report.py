"""The report of one patient at a time: as tables, as Markdown, as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace

from rich.console import Console

from monitor.offline.evaluation.patient_figures import PatientResult, QuarterFigures, result_of
from monitor.offline.evaluation.patients_report import (
    RANKING,
    VERDICTS,
    sheets,
    to_json,
    to_markdown,
    to_tables,
)
from tests.monitor.offline.labelled import episodes_of, labelled

FAILED = PatientResult("10|8", "others", None, note="too mixed")
QUARTER = QuarterFigures(1, 900.0, 1800.0, 0.5, math.nan, 0.25, 0.75, 2.0, 600.0, 8.0)


def result() -> PatientResult:
    return result_of(labelled("106", "NNV", [0.1, 0.2, 2.0]))


def test_the_json_holds_every_figure_by_its_name() -> None:
    """Valid JSON without NaN: records, averages, quarters, and by what was judged."""
    with_quarter = replace(result(), quarters=(QUARTER,))
    document = json.loads(to_json([with_quarter, FAILED], "evidence"))
    assert document["judged_by"] == "evidence"
    found = document["records"]["106"]["figures"]
    assert {*VERDICTS, *RANKING} <= {*found}
    assert (found["f1"], found["precision"], found["families"]) == (1.0, 1.0, None)
    assert document["records"]["106"]["quarters"][0]["false_onsets_per_hour"] == 2.0
    assert document["records"]["10|8"]["figures"] is None
    assert document["records"]["10|8"]["note"] == "too mixed"
    assert document["averages"]["all, mean"]["recall_v"] == 1.0
    assert document["averages"]["all, mean"]["f1_20"] is None
    assert [one["statistic"] for one in document["quarters"]] == ["mean", "median"]


def test_the_tables_name_every_record() -> None:
    """Also those without figures; a column without any value is left out."""
    console = Console(width=140)
    with console.capture() as capture:
        console.print(to_tables(sheets([result(), FAILED])))
    shown = capture.get()
    assert shown.count("106") == shown.count("10|8") == 2
    assert "even number, mean" in shown
    assert "f1_20" in shown
    assert "false/h" in shown
    assert "fam." not in shown
    assert "forest" not in shown.splitlines()[-12]
    assert "quarter" not in shown


def test_the_worst_record_is_named() -> None:
    """An average hides a patient with a false alert a minute."""
    record = labelled("106", "NNV", [2.0, 0.2, 0.1])
    heard = replace(
        record.judged, episodes=episodes_of(record.judged.beats.r_sample, record.judged.ratio)
    )
    (verdicts, _) = sheets([result(), result_of(replace(record, judged=heard))])
    assert verdicts.caption.endswith("Most false alerts begun an hour: 1058.8 (106)")  # in 3.4 s


def test_quarters_are_a_table_of_their_own() -> None:
    """Where they are asked for."""
    console = Console(width=140)
    with console.capture() as capture:
        made = sheets([replace(result(), quarters=(QUARTER,))], by_quarter=True)
        console.print(to_tables(made))
    assert "15 to 30 min, mean" in capture.get()


def test_the_markdown_is_a_page_of_tables() -> None:
    """Every line of a table has the same columns; averages stand first."""
    for made in sheets([result(), FAILED]):
        lines = [line for line in to_markdown([made]).splitlines() if line.startswith("|")]
        assert lines[0].startswith("| record |")
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        assert lines[2].startswith("| even number, mean |")
        assert lines[-1].startswith("| 10\\|8 |")

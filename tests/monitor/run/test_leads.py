"""Which leads are monitored, in words: few patients one by one, many by lead."""

from __future__ import annotations

from monitor.run.leads import lead_rows, opening_lines
from monitor.wire.messages import Stream


def _stream(patient: str, leads: str, *warnings: str) -> Stream:
    return Stream(patient, patient, leads.split(), 360.0, 0, 650_000, warnings=list(warnings))


def test_each_of_a_few_patients_is_told_with_its_lead() -> None:
    """Leads first, then what is wrong with the records, each once."""
    streams = [
        _stream("119", "MLII V1", "short"),
        _stream("114", "V5"),
        _stream("119#2", "I", "short"),
    ]
    assert opening_lines(streams) == [
        "119: leads MLII, V1 at 360 Hz",
        "114: lead V5 at 360 Hz",
        "119#2: lead I at 360 Hz",
        "warning: short",
    ]


def test_many_patients_are_told_by_lead() -> None:
    """A ward is no page of lines."""
    streams = [_stream(f"p{number}", "V" if number else "II") for number in range(30)]
    first, second = opening_lines(streams)
    assert first == "lead II of p0"
    assert second.startswith("lead V of p1, p2, ")
    assert second.endswith("p20 and 9 more")


def test_the_summary_names_the_patients_of_each_lead() -> None:
    """One row for the same leads in the same order."""
    leads = {"119": ["MLII", "V1"], "114": ["V5"], "100": ["MLII", "V1"], "121": ["V1", "MLII"]}
    assert lead_rows(leads) == [
        "leads MLII, V1 of 119, 100",
        "lead V5 of 114",
        "leads V1, MLII of 121",
    ]

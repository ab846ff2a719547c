"""Which leads are read: names of real databases, coverage, and what a person asked for."""

from __future__ import annotations

import pytest

from monitor.errors import RecordError
from monitor.sources.lead_choice import (
    LeadCandidate,
    choose_leads,
    is_ecg_name,
    names_another_signal,
)

ECG_NAMES = [
    *("I", "II", "III", "aVR", "AVL", "avf", "V", "V1", "V6", "V4R", "vx", "vz"),  # 12 leads, ptbdb
    *("MLI", "MLII", "MLIII", "ML5", "mod.V1", "MODIFIED V1", "D3", "DII", "MV2"),  # mitdb, edb
    *("ECG", "ECG1", "ECG2", "ECG signal 0", "EKG", "ecg", "ECG I filtered", "chest_ecg"),
    *("ECG lead II", "ECG lead V", "II,", "AVR,", "lead aVF", "Lead II", "ch1 II", "II (mV)"),
    *("MCL1", "MCL", "CM5", "CM2", "CC5", "CB5", "CS5", "E-S", "A-S", "A-I", "ECG LA-RA"),
]
OTHER_NAMES = [
    *("RESP", "Resp", "RESP,", "Resp (chest)", "Resp nasal", "respiration", "Airflow", "Nasal"),
    *("ABP", "ABP mean", "ART", "AOBP", "BP", "NBP", "CVP", "PAP", "ICP", "LAP", "P1", "Pressure"),
    *("PLETH", "PLETH,", "PLETHL", "PPG", "Pulse", "SpO2", "SaO2", "SO2", "OSAT", "Finger pulse"),
    *("EEG", "EEG (C4-A1)", "EEG Fpz-Cz", "C3-A2", "C4-M1", "Fp1-A2", "EOG (right)", "EOG left"),
    *("EMG", "EMG chin", "chin", "L leg", "Lefteye", "RightEye", "CO2", "Impedance", "THOR", "ABD"),
    *("GSR", "EDA", "ACC_X", "temperature", "marker", "noise1", "foot GSR", "HR", "PCG", "FHR"),
    *("ECG impedance respiration", "Stim"),
]
SILENT_NAMES = ["signal 0", "record rec, signal 1", "ch1", "channel 2", "x", "1"]


@pytest.mark.parametrize("name", ECG_NAMES)
def test_names_of_ecg_leads(name: str) -> None:
    """The leads of the common databases are known."""
    assert is_ecg_name(name)
    assert not names_another_signal(name)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names_of_other_signals(name: str) -> None:
    """Respiration, pressure, pulse, EEG, EOG, EMG and the rest say so."""
    assert not is_ecg_name(name)
    assert names_another_signal(name)


@pytest.mark.parametrize("name", SILENT_NAMES)
def test_names_that_say_nothing(name: str) -> None:
    """A number is neither an ECG nor anything else."""
    assert not is_ecg_name(name)
    assert not names_another_signal(name)


def _candidates(*names: str, coverage: dict[str, float] | None = None) -> list[LeadCandidate]:
    return [LeadCandidate(name, "mV", True, (coverage or {}).get(name, 1.0)) for name in names]


@pytest.mark.parametrize(
    ("names", "coverage", "chosen"),
    [
        (["RESP", "ECG"], {}, ["ECG"]),
        (["EEG (C4-A1)", "EOG (right)", "V5", "II"], {}, ["V5", "II"]),
        (["V5", "MLII"], {}, ["V5", "MLII"]),  # the record's order, as in 114 of mitdb
        (["II", "PLETH", "V", "ABP", "RESP"], {}, ["II", "V"]),  # as in the challenge of 2015
        (["signal 0", "II"], {}, ["II"]),
        (["RESP", "signal 1"], {}, ["signal 1"]),
        (["signal 0", "signal 1"], {}, ["signal 0"]),  # nobody says that the second is an ECG
        (["ch1", "ch2", "ch3"], {"ch1": 0.2, "ch2": 0.6, "ch3": 0.9}, ["ch3"]),
        (["ch1", "ch2"], {"ch1": 0.96, "ch2": 1.0}, ["ch1"]),  # about as much: the order stays
        (["I", "II", "V"], {"I": 0.2, "II": 0.6, "V": 0.9}, ["II", "V"]),
        (["I", "ch2"], {"I": 0.1}, ["I"]),  # an ECG lead goes before a name that says nothing
        (["I", "ch2"], {"I": 0.0}, ["ch2"]),  # but not where it is not there
        (["I", "II"], {"I": 0.0, "II": 0.0}, ["I", "II"]),
    ],
)
def test_the_leads_that_are_chosen_unasked(
    names: list[str], coverage: dict[str, float], chosen: list[str]
) -> None:
    """All ECG leads that are there half as much as the fullest; else one of unknown name."""
    candidates = _candidates(*names, coverage=coverage)
    assert [names[i] for i in choose_leads("rec", candidates, None)] == chosen
    assert choose_leads("rec", candidates, []) == choose_leads("rec", candidates, None)


def test_all_takes_names_that_say_nothing() -> None:
    """Where no name is an ECG lead's, a person may know that all are."""
    assert choose_leads("rec", _candidates("RESP", "ch1", "ch2"), ["all"]) == [1, 2]
    assert choose_leads("rec", _candidates("ch1", "II", "V"), ["all"]) == [1, 2]


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (["V,II"], [2, 0]),
        (["V", "II"], [2, 0]),
        (["2, 0"], [2, 0]),
        (["II,2,V"], [0, 2]),  # each once
        (["aVF, left"], [3]),  # a name that holds a comma
        (["0", "aVF, left"], [0, 3]),
        (["RESP", "all"], [1, 0, 2]),
        (["RESP,all"], [1, 0, 2]),
        (["V,,", "all, V"], [2, 0]),
    ],
)
def test_several_leads_are_asked_for(asked: list[str], chosen: list[int]) -> None:
    """By repeating, with commas, by a word; in the order in which they are named."""
    assert choose_leads("rec", _candidates("II", "RESP", "V", "aVF, left"), asked) == chosen


def test_of_several_leads_the_missing_one_is_named() -> None:
    """Not the whole list."""
    with pytest.raises(RecordError, match=r"has no lead 'V9'; choose from II, V"):
        choose_leads("rec", _candidates("II", "V"), ["II,V9"])


def test_what_is_no_ecg_is_never_chosen_unasked() -> None:
    """A respiration in millivolts is read for who asks for it, and for nobody else."""
    candidates = _candidates("RESP", "EEG (C4-A1)")
    for asked in (None, ["all"]):
        with pytest.raises(RecordError, match=r"no ECG lead, only RESP, EEG \(C4-A1\)"):
            choose_leads("rec", candidates, asked)
    assert choose_leads("rec", candidates, ["resp"]) == [0]


@pytest.mark.parametrize(
    ("names", "asked", "index"),
    [
        (["RESP", "ECG"], "ecg", 1),
        (["RESP", "ECG"], "Ecg", 1),
        (["ECG", "ecg"], "ecg", 1),  # case matters where it tells two apart
        (["ECG", "ECG"], "ecg", 0),
        (["RESP,", "II,"], "ii", 1),
        (["ECG lead I", "ECG lead II"], "II", 1),
        (["I", "aVR"], "avr", 1),
        (["II", "ECG lead II"], "II", 0),
        (["ECG", "ECG"], "1", 1),
        (["ECG", "ECG"], 1, 1),
        (["2", "1"], "1", 1),  # a number is an index, as in WFDB's programs
        (["II", "12"], "12", 1),  # unless there is no such index
    ],
)
def test_a_lead_that_is_asked_for(names: list[str], asked: str | int, index: int) -> None:
    """By index, by name, or by the one name that differs in form alone."""
    assert choose_leads("rec", _candidates(*names), [asked]) == [index]


@pytest.mark.parametrize("asked", ["Ecg", "V9", "", "7", -1, 2, "9" * 5000, ",", " , "])
def test_a_lead_that_is_not_there(asked: str | int) -> None:
    """Two names that differ in case alone are told apart by case alone."""
    with pytest.raises(RecordError, match=r"has no lead .*; choose from ECG, ecg"):
        choose_leads("rec", _candidates("ECG", "ecg"), [asked])

"""Which leads of a record are read: those that were asked for, or all of its ECG leads.

Without a lead asked for, these are read, in the record's own order:

1. every lead whose name is an ECG lead's and that holds at least half as much of the record as the
   fullest of them;
2. where no name is an ECG lead's, one whose name says nothing (`signal 0`, `ch1`): the first of
   those that hold about as much as the fullest. `all` asks for every one of them.

A signal whose name says that it is something else (respiration, pressure, pulse, EEG, EOG, EMG, …)
is never taken unasked, in whatever unit it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.errors import RecordError
from monitor.sources.listing import listing

ALL = "all"  # what asks for every ECG lead by a word
NEARLY_AS_MUCH = 0.95  # of the fullest lead: a little less is no reason to leave the order
HALF_AS_MUCH = 0.5  # of the fullest lead: what is there less often would mostly be left out


def _table(*rows: str) -> frozenset[str]:
    return frozenset(" ".join(rows).split())


# Names as headers of PhysioNet's databases have them, in small letters, letters and digits only.
_ECG_LEADS = _table(
    "i ii iii avr avl avf mavr navr vx vy vz",
    "v v1 v2 v3 v4 v5 v6 v7 v8 v9 v1r v2r v3r v4r v5r v6r v7r v8r v9r rv1 rv2 rv3 rv4 rv5 rv6",
    "d1 d2 d3 di dii diii dv1 dv2 dv3 dv4 dv5 dv6",  # Spanish, French; D3 of edb
    "mli mlii mliii ml1 ml2 ml3 ml4 ml5 ml6 mv1 mv2 mv3 mv4 mv5 mv6",  # mitdb, edb
    "mcl mcl1 mcl2 mcl3 mcl4 mcl5 mcl6",  # mimicdb
    "cm1 cm2 cm3 cm4 cm5 cm6 cc1 cc2 cc3 cc4 cc5 cc6 cb5 cs5 cr5 mc5",  # Holter and exercise
    "es as ai lara llra llla rall lall rala",  # E-S, A-S, A-I: ltstdb
)
_PULSE_WAVES = _table("abp art ppg")
_ABOUT_THE_LEAD = re.compile(
    r"leads?|ch(annel)?\d*|signal|raw|filt(ered)?|mod(ified)?|original|[mu]v"
)
_OTHER_WORDS = _table(
    "abd chest sum flow co2 etco2 o2 rr imp",  # breathing
    "abp art ao aobp bp nbp nibp ibp cvp pap icp lap rap uap uvp rvp lvp fap cpp cbfv p1 p2 p3 p4",
    "sv hr pr bpm pcg scg bcg gcg icg dz",  # rate, sound and motion of the heart
    "chin leg tib eye lefteye righteye roc loc reog leog remg lemg",
    "gsr eda scl acc mag foot hand uc fhr toco body light stage status pos",
)
_OTHER_BEGINNINGS = _table(
    "resp breath air nasal oral therm thor abdom effort snor imped spiro",
    "press blood tono pleth ppg puls spo sao so2 osat oxy oxi sat finger carotid phono seismo",
    "eeg eog emg accel gyro temp posit mark event trig stim noise batt annot",
)
_ELECTRODE = re.compile(r"(?:fp|af|[acfmopt])(?:z|\d{1,2})")  # on the head, of an EEG


@dataclass(frozen=True)
class LeadCandidate:
    """What is known of a signal before it is read.

    Attributes
    ----------
    is_voltage : bool
        Its unit is a voltage.
    coverage : float
        Share of the record that it holds, 0 to 1.
    """

    name: str
    units: str
    is_voltage: bool
    coverage: float = 1.0


def is_ecg_name(name: str) -> bool:
    """Return whether a signal's name is that of an ECG lead.

    Examples
    --------
    >>> [is_ecg_name(name) for name in ("MLII", "ECG lead V", "avF,", "RESP", "EEG (C4-A1)")]
    [True, True, True, False, False]
    """
    words = _words(name)
    if any("ecg" in word or "ekg" in word or word.startswith("electrocard") for word in words):
        return not any(word.startswith(tuple(_OTHER_BEGINNINGS)) for word in words)
    return _bare(name) in _ECG_LEADS


def names_another_signal(name: str) -> bool:
    """Return whether a signal's name says that it is no ECG.

    Examples
    --------
    >>> [names_another_signal(name) for name in ("Resp (chest)", "C4-A1", "II", "signal 0")]
    [True, True, False, False]
    """
    words = _words(name)
    on_the_head = len(words) > 1 and all(_ELECTRODE.fullmatch(word) for word in words)
    return not is_ecg_name(name) and (on_the_head or any(_is_other(word) for word in words))


def is_pulse_wave(name: str) -> bool:
    """Return whether a signal's name is that of a plethysmogram or an arterial pressure.

    Examples
    --------
    >>> [is_pulse_wave(name) for name in ("PLETH", "ABP", "Pleth (finger)", "RESP", "II")]
    [True, True, True, False, False]
    """
    return any(word in _PULSE_WAVES or word.startswith("pleth") for word in _words(name))


def choose_leads(
    where: str, candidates: Sequence[LeadCandidate], asked: Sequence[str | int] | None
) -> list[int]:
    """Return the indices of the leads to read, each once, in the order that was asked for.

    Parameters
    ----------
    where : str
        The record, for messages.
    asked : sequence of str and int, optional
        Names or indices of leads; a text may name several, with commas between them; `all` is
        every ECG lead. None chooses as the module says.

    Raises
    ------
    RecordError
        If a lead does not fit, or none does; says which there are.
    """
    voltages = [i for i, one in enumerate(candidates) if one.is_voltage]
    if not voltages:
        units = listing(sorted({one.units for one in candidates}))
        raise RecordError(f"record {where} has no lead in V, mV or uV, only {units}")
    if not asked:
        return _ecg_leads(where, candidates, voltages)
    chosen: list[int] = []
    for one in asked:
        for part in _parts(candidates, one):
            if part == ALL and _find(candidates, part) is None:
                chosen += _ecg_leads(where, candidates, voltages, every=True)
            else:
                chosen.append(_named(where, candidates, voltages, part))
    return list(dict.fromkeys(chosen))


def _parts(candidates: Sequence[LeadCandidate], asked: str | int) -> list[str | int]:
    """Return what a text asks for, one by one; a text that names nothing stays as it is."""
    if not isinstance(asked, str) or _find(candidates, asked) is not None:
        return [asked]  # a name may hold commas itself
    return [part for part in map(str.strip, asked.split(",")) if part] or [asked]


def _named(
    where: str, candidates: Sequence[LeadCandidate], voltages: list[int], lead: str | int
) -> int:
    """Return the index of the lead that was asked for."""
    offered = listing([candidates[i].name for i in voltages])
    index = _find(candidates, lead)
    if index is None:
        raise RecordError(f"record {where} has no lead {lead!r}; choose from {offered}")
    if index not in voltages:
        raise RecordError(
            f"lead {candidates[index].name!r} of record {where} is in "
            f"{candidates[index].units!r}, no voltage; there are {offered}"
        )
    return index


def _ecg_leads(
    where: str, candidates: Sequence[LeadCandidate], voltages: list[int], *, every: bool = False
) -> list[int]:
    there = [i for i in voltages if candidates[i].coverage > 0] or voltages
    ecg = [i for i in there if is_ecg_name(candidates[i].name)]
    fitting = ecg or [i for i in there if not names_another_signal(candidates[i].name)]
    if not fitting:
        names = listing([candidates[i].name for i in there])
        raise RecordError(
            f"record {where} has no ECG lead, only {names}; "
            "name one of them as the lead to read it all the same"
        )
    most = max(candidates[i].coverage for i in fitting)
    if ecg or every:
        return [i for i in fitting if candidates[i].coverage >= HALF_AS_MUCH * most]
    return [next(i for i in fitting if candidates[i].coverage >= NEARLY_AS_MUCH * most)]


def different_names(names: Sequence[str]) -> list[str]:
    """Return names of which no two are alike: a later one gets a number, `ECG#2`.

    Examples
    --------
    >>> different_names(["ECG", "ECG", "V"])
    ['ECG', 'ECG#2', 'V']
    """
    different: list[str] = []
    for name in names:
        candidate, number = name, 2
        while candidate in different:
            candidate, number = f"{name[:120]}#{number}", number + 1
        different.append(candidate)
    return different


def _find(candidates: Sequence[LeadCandidate], lead: str | int) -> int | None:
    """Return the index of a lead by index, name, or the one name that differs in form alone."""
    if isinstance(lead, str) and lead.isascii() and lead.isdigit() and len(lead) <= 4:
        lead = int(lead) if int(lead) < len(candidates) else lead  # a number is an index first
    if isinstance(lead, int):
        return lead if 0 <= lead < len(candidates) else None
    names = [one.name for one in candidates]
    if lead in names:
        return names.index(lead)
    for form in (str.casefold, _bare):
        same = [i for i, name in enumerate(names) if form(name) == form(lead) != ""]
        if len({names[i] for i in same}) == 1:
            return same[0]
    return None


def _bare(name: str) -> str:
    """Return a name without spaces, punctuation and words like `lead`: `II` of `ECG lead II,`."""
    words = [word for word in _words(name) if not _ABOUT_THE_LEAD.fullmatch(word)]
    return "".join(words[1:] if len(words) > 1 and words[0] in ("ecg", "ekg") else words)


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.casefold())


def _is_other(word: str) -> bool:
    return word in _OTHER_WORDS or word.startswith(tuple(_OTHER_BEGINNINGS))

"""Which leads of each record are monitored, and what is wrong with the record: in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monitor.wire.messages import Stream, named_leads

MAX_NAMED = 20  # patients named one by one


def opening_lines(streams: Sequence[Stream]) -> list[str]:
    """Return what is told before the first beat: the leads, then what is wrong with records."""
    lines = [
        f"{one.patient}: {named_leads(one.leads)} at {one.fs_hz:g} Hz"
        for one in streams[:MAX_NAMED]
    ]
    if len(streams) > MAX_NAMED:
        lines = lead_rows({one.patient: one.leads for one in streams})
    return lines + warnings(streams)


def lead_rows(leads: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one text for the same leads, with whose they are: `leads MLII, V1 of 118, 119`."""
    patients: dict[str, list[str]] = {}
    for patient, names in leads.items():
        patients.setdefault(named_leads(names), []).append(patient)
    return [f"{names} of {_named(of)}" for names, of in patients.items()]


def warnings(streams: Iterable[Stream]) -> list[str]:
    """Return what is wrong with the records and is read all the same, each once."""
    return list(dict.fromkeys(f"warning: {text}" for one in streams for text in one.warnings))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more

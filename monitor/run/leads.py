"""Which lead of each record is monitored, and what is wrong with the record: in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monitor.wire.messages import Stream

MAX_NAMED = 20  # patients named one by one


def opening_lines(streams: Sequence[Stream]) -> list[str]:
    """Return what is told before the first beat: the leads, then what is wrong with records."""
    lines = [f"{one.patient}: lead {one.lead} at {one.fs_hz:g} Hz" for one in streams[:MAX_NAMED]]
    if len(streams) > MAX_NAMED:
        leads = {one.patient: one.lead for one in streams}
        lines = [f"lead {text}" for text in lead_rows(leads)]
    return lines + warnings(streams)


def lead_rows(leads: Mapping[str, str]) -> list[str]:
    """Return one text a lead, with the patients whose it is: `MLII of 100, 119`."""
    patients: dict[str, list[str]] = {}
    for patient, lead in leads.items():
        patients.setdefault(lead, []).append(patient)
    return [f"{lead} of {_named(names)}" for lead, names in patients.items()]


def warnings(streams: Iterable[Stream]) -> list[str]:
    """Return what is wrong with the records and is read all the same, each once."""
    return list(dict.fromkeys(f"warning: {text}" for one in streams for text in one.warnings))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more

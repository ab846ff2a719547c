"""The latest anomalous beat and the losses, as parts of the screen; the beat explained."""

from __future__ import annotations

from rich.text import Text

from monitor.plain import clock, milliseconds
from monitor.text import harmless
from monitor.view.anomalous_beat import AnomalousBeat
from monitor.view.beat_plots import plot_beat, plot_errors, plot_explained
from monitor.view.patient_view import PatientView
from monitor.view.plots import (
    ANOMALY,
    DIM,
    MARK,
    RECONSTRUCTION,
    number,
    plot_losses,
    plot_times_above,
)
from monitor.view.screen_rows import beside, blank, heading

ERRORS_FROM_ROWS = 9  # below, the beat itself needs them


def beat_and_losses(patient: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the latest anomalous beat beside the losses."""
    if n_rows < 5:
        return blank(n_rows)
    n_left = min(width * 47 // 100, 64) if width >= 60 else 0
    left = _latest_beat(patient, n_left - 1, n_rows) if n_left else []
    right = _losses(patient, width - n_left, n_rows)
    return beside(left, n_left, right, n_rows)


def _why(latest: AnomalousBeat, room: int) -> str:
    """Return what the beat was found by, the wave of most of its loss, and when; what has room."""
    time = clock(latest.time_s, 0)
    found_by = ", ".join(latest.why)
    named = ", ".join([*latest.why, *([] if latest.worst_part is None else [latest.worst_part])])
    said = (f"{what} {time}" for what in (named, found_by) if what)
    return next((one for one in said if len(one) <= room), time)


def _latest_beat(patient: PatientView, width: int, n_rows: int) -> list[Text]:
    latest = patient.latest
    title = Text("latest anomalous beat", "bold")
    if latest is None:
        return [
            heading(title, Text(), width),
            *blank(n_rows // 2 - 1),
            Text("   none so far", DIM),
        ]
    named = _lead_of(latest, patient)
    caption = Text(" loss ").append(number(latest.loss), ANOMALY)
    above = "x" if latest.score is None else "score "
    caption.append(f"/{number(latest.threshold)} {above}{number(latest.ratio)} RR ")
    caption.append(f"{milliseconds(latest.rr_before_ms)}/{milliseconds(latest.rr_after_ms)} ms")
    errors = [plot_errors(latest, width)] if n_rows >= ERRORS_FROM_ROWS else []
    legend = Text("  ━ beat", ANOMALY).append("  ╌ rebuilt", RECONSTRUCTION)
    if caption.cell_len + legend.cell_len <= width:
        caption.append_text(legend)
    else:  # in the heading then
        title = Text("anomalous ", "bold").append("━", ANOMALY).append(" ╌ rebuilt", RECONSTRUCTION)
    title.append_text(named)
    if errors and caption.cell_len + len("  ▃ loss") <= width:
        caption.append("  ▃ loss", ANOMALY)
    return [
        heading(title, Text(_why(latest, width - title.cell_len - 7), DIM), width),
        *plot_beat(latest, width, n_rows - 2 - len(errors)),
        *errors,
        caption,
    ]


def _lead_of(latest: AnomalousBeat, patient: PatientView) -> Text:
    """Return which lead the beat is of, where the patient has several."""
    name = harmless(latest.lead, 12) if len(patient.leads) > 1 else ""
    return Text(f" {name}" if name else "", MARK)


def explanation(patient: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the latest anomalous beat explained on all the rows there are."""
    latest = patient.latest
    title = Text("why this beat", "bold")
    if latest is None or n_rows < 3:
        none = [heading(title, Text(), width), Text("   no anomalous beat so far", DIM)][:n_rows]
        return [*none, *blank(n_rows - len(none))]
    title.append_text(_lead_of(latest, patient))
    right = Text(f"{clock(latest.time_s, 1)}  loss ", DIM).append(number(latest.loss), ANOMALY)
    score = "" if latest.score is None else f"  score {number(latest.score)}"
    right.append(f" of {number(latest.threshold)}{score}  ━ beat  ╌ rebuilt", DIM)
    rows = [heading(title, right, width), *plot_explained(latest, width, n_rows - 1)]
    return [*rows, *blank(n_rows - len(rows))]


def _losses(patient: PatientView, width: int, n_rows: int) -> list[Text]:
    """Return the losses, or what is drawn in their place, over the beats."""
    threshold, beats, several = patient.threshold, patient.beats, len(patient.leads) > 1
    drawn = patient.drawn
    title = drawn if drawn == "loss over threshold" else f"{drawn} a beat"
    name = harmless(patient.leads[0], 12) if several else "threshold"
    right = Text(f"{name} ", DIM).append(
        "--" if threshold is None else number(threshold), RECONSTRUCTION
    )
    if drawn != "loss":
        plot = plot_times_above(beats, width, n_rows - 1, with_line=threshold is not None)
    else:
        plot = plot_losses(beats, threshold, width, n_rows - 1)
    return [heading(Text(title, "bold"), right, width), *plot]

"""A model that does not fit a record is reported after some twenty beats, and not taken for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.checkpoint import load_shipped
from model.scoring import Scorer
from monitor.detection.engine import Engine
from monitor.detection.model_fit import (
    FITS,
    JUDGED_BEATS,
    ModelFit,
    doubted_anew,
    follow_fit,
    unfit_text,
)
from monitor.errors import JournalFailed
from monitor.journal.writer import Progress
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord
from monitor.text import harmless
from monitor.wire.messages import (
    Alert,
    BeatScored,
    Message,
    RelearnRequest,
    Technical,
    ThresholdRequest,
)
from segmenter.beat import BeatSpec
from segmenter.stream import Segmenter
from tests.monitor.detection.test_engine import Bench, Trainer, beats_message, end
from tests.real_data import MITDB

HIGH, LOW, NONE = 90.0, 5.0, float("nan")


def followed(losses: Iterable[float | None], fit: ModelFit | None = None) -> ModelFit:
    """Return what is known after beats of these losses, at a threshold of 26."""
    fit = fit or ModelFit()
    for loss in losses:
        fit = follow_fit(fit, loss, 26.0)
    return fit


@pytest.mark.parametrize(
    ("losses", "state"),
    [
        ([HIGH] * 19, "undecided"),  # too few to tell
        ([HIGH] * 20, "unfit"),
        ([HIGH] * 9 + [LOW] * 2 + [HIGH] * 9, "unfit"),  # nearly all
        ([None] * 500 + [HIGH] * 19, "undecided"),  # what has no verdict tells nothing
        ([HIGH, None] * 20, "unfit"),
        ([HIGH, LOW, HIGH] * 20, "undecided"),  # couplets, or a model that fits badly
        ([HIGH, LOW, HIGH] * 20 + [HIGH] * 14, "unfit"),  # until it is clear
        ([HIGH, LOW] * 10, "fits"),  # bigeminy
        ([LOW] * 20, "fits"),
        ([LOW] * 20 + [HIGH] * 5000, "fits"),  # the patient, not the model
        ([HIGH] * 20 + [LOW] * 9, "unfit"),
        ([HIGH] * 20 + [LOW] * 10, "fits"),  # most of the last beats fit
        ([HIGH] * 20 + [LOW] * 10 + [HIGH] * 5000, "fits"),
    ],
)
def test_it_is_decided_from_the_losses(losses: list[float | None], state: str) -> None:
    """Nearly all of the first judged beats above the threshold; once it fits it stands."""
    assert followed(losses).state == state


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=80))
def test_what_is_kept_is_bounded(losses: list[float | None]) -> None:
    """A few bytes, however long a record goes on."""
    fit = followed(losses)
    assert len(fit.above) <= JUDGED_BEATS
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fit), type=ModelFit) == fit


def test_a_threshold_gives_a_new_chance() -> None:
    """What is known of the old one is forgotten; a model that fitted is not doubted by it."""
    assert doubted_anew([followed([HIGH] * 30), FITS]) == (ModelFit(), FITS)


def test_the_text_says_what_and_what_to_do() -> None:
    """Whole on one line of a terminal: harmless text is cut at its end."""
    text = unfit_text([followed([HIGH] * 500)])
    assert (
        harmless(text)
        == text
        == (
            "this model does not fit, or every beat is anomalous, 20 of 20: "
            "learn the patient, key r or --learn 5:00"
        )
    )


# --- in the engine ----------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def events(messages: Iterable[Message]) -> list[tuple[str, str, int]]:
    """Return kind, state and sample of alerts and technical alerts."""
    return [
        (one.event if isinstance(one, Technical) else one.priority, one.state, one.sample)
        for one in messages
        if isinstance(one, Alert | Technical)
    ]


def stepped(
    engine: Engine, losses: list[float], block: int = 1000, first: int = 0
) -> list[Message]:
    """Judge beats one second apart, so many a message; `first` beats came before."""
    return [
        message
        for start in range(0, len(losses), block)
        for message in engine.step(
            [beats_message(losses[start : start + block], 100 + 250 * (first + start))], 0
        ).messages
    ]


def test_an_unfit_model_is_one_technical_alert_and_ends_its_episode(bench: Bench) -> None:
    """Verdicts are still published; no alert of half an hour is made of them."""
    engine = bench.engine(threshold=26.0)
    said = stepped(engine, [HIGH] * 1500)
    assert events(said)[-2:] == [
        ("model_unfit", "onset", 100 + 250 * 19),
        ("low", "cleared", 100 + 250 * 19),
    ]
    assert [one.state for one in said if isinstance(one, Technical)] == ["onset"]
    scored = [one for one in said if isinstance(one, BeatScored)]
    assert [one.anomalous for one in scored] == [True] * 1500
    (status,) = engine.report().patients
    assert (status.technical, status.anomalous, status.alerts) == (["model_unfit"], 1500, 1)
    assert status.heart_rate_bpm == pytest.approx(60.0)  # the signal is good
    assert status.latched  # nobody has seen the alert before: it is not taken back


def test_an_alert_after_it_fits_again_is_raised(bench: Bench) -> None:
    """The clearing comes with the beat that shows it; from then on every beat counts."""
    engine = bench.engine()
    said = stepped(engine, [HIGH] * 30 + [LOW] * 10 + [HIGH] * 40)
    fitting = 100 + 250 * 39
    assert ("model_unfit", "cleared", fitting) in events(said)
    onset = [one for one in events(said) if one[1] == "onset"][-1]
    assert onset == ("medium", "onset", fitting + 250)
    assert engine.report().patients[0].technical == []


@pytest.mark.parametrize("block", [1, 3, 7])
def test_chunks_do_not_matter(tmp_path: Path, block: int) -> None:
    """Any cut of the beats gives the same events at the same samples."""
    losses = [NONE, *[HIGH] * 18, NONE, LOW, HIGH, HIGH, *[LOW] * 12, *[HIGH] * 30]
    with ExitStack() as stack:
        whole = events(stepped(Bench(tmp_path, stack).engine(), losses))
        (tmp_path / "cut").mkdir()
        cut = events(stepped(Bench(tmp_path / "cut", stack).engine(), losses, block))
    assert cut == whole
    assert [kind for kind, _, _ in whole].count("model_unfit") == 2


@pytest.mark.parametrize("killed_after", [10, 19, 20, 25, 34])
def test_a_restart_goes_on_where_it_was(bench: Bench, killed_after: int) -> None:
    """What is known of the model is journaled with the rest of the patient's state."""
    losses = [HIGH] * 30 + [LOW] * 12 + [HIGH]
    with ExitStack() as stack:
        folder = bench.folder / "undisturbed"
        folder.mkdir()
        expected = events(stepped(Bench(folder, stack).engine(), losses))
    engine = bench.engine()
    before = bench.step(engine, beats_message(losses[:killed_after]))
    engine = bench.restart()
    after = bench.step(engine, beats_message(losses[killed_after:], 100 + 250 * killed_after))
    assert events([*before, *after]) == expected


def test_a_threshold_that_is_moved_clears_it_and_it_is_judged_anew(bench: Bench) -> None:
    """At once: who sets a threshold wants verdicts by it. Then beats decide again."""
    engine = bench.engine()
    stepped(engine, [HIGH] * 25)
    engine.carry_out(ThresholdRequest("p", value=80.0))
    said = stepped(engine, [HIGH] * 25, first=25)
    kinds = [one[:2] for one in events(said)]
    assert kinds[0] == ("model_unfit", "cleared")
    assert kinds.count(("model_unfit", "onset")) == 1
    engine.carry_out(ThresholdRequest("p", value=100.0))
    assert [one[:2] for one in events(stepped(engine, [HIGH] * 50, first=50))] == [
        ("model_unfit", "cleared")
    ]


def test_learning_clears_it_and_a_learnt_model_is_not_doubted(bench: Bench) -> None:
    """Every beat anomalous behind the learning is an alert, also after a restart."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer)
    bench.step(engine, beats_message([HIGH] * 25))
    engine.carry_out(RelearnRequest("p"))
    said = bench.step(engine, beats_message([LOW] * 310, 100 + 250 * 25))
    assert events(said) == [("model_unfit", "cleared", 250 * 25 + 100)]
    trainer.learnt(threshold=35.0)
    engine.step([], 0)
    said = stepped(engine, [HIGH] * 100, first=335)
    assert [one.event for one in said if isinstance(one, Technical)] == []
    assert engine.report().patients[0].technical == []


def test_a_damaged_state_of_it_is_refused(bench: Bench) -> None:
    """An unfit model without its technical alert would silence a patient without a word."""
    engine = bench.engine()
    bench.step(engine, beats_message([HIGH] * 25))
    (reached,) = bench.journal.progress()
    saved = msgspec.msgpack.decode(reached.consumer_state)
    saved["alert_state"]["technical"] = []
    bench.journal.commit([], [Progress("p", reached.position, reached.segmenter_state, saved)])
    with pytest.raises(JournalFailed, match="its fit"):
        bench.restart()


def test_the_end_of_the_record_leaves_it_open(bench: Bench) -> None:
    """The summary tells it."""
    engine = bench.engine()
    bench.step(engine, beats_message([HIGH] * 25), end(position=250 * 26))
    (status,) = engine.report().patients
    assert (status.state, status.technical) == ("ended", ["model_unfit"])


# --- on records -------------------------------------------------------------------------------

RECORDS = sorted(path.stem for path in MITDB.glob("*.hea"))
needs_mitdb = pytest.mark.skipif(not RECORDS, reason=f"no records in {MITDB}")


def fit_of_shipped(record: Path) -> ModelFit:
    """Return what a minute of a record's first lead shows of the model that ships."""
    shipped = load_shipped()
    with WfdbRecord.open(record) as source:
        leads = len(source.leads)
        segmenter = Segmenter(source.fs_hz, BeatSpec.from_mapping(shipped.spec), leads)
        beats = segmenter.update(source.read(0, round(60 * source.fs_hz))).beats
    losses = Scorer(shipped.autoencoder).losses(beats.values[beats.lead_judgeable[:, 0], 0])
    fit = ModelFit()
    for loss in losses.tolist():
        fit = follow_fit(fit, loss, shipped.threshold.value)
    return fit


@needs_mitdb
def test_the_shipped_model_fits_no_record_of_mit_bih() -> None:
    """It knows one patient, of another database: reported of each within the first minute."""
    assert [name for name in RECORDS if not fit_of_shipped(MITDB / name).is_unfit] == []


def test_the_shipped_model_fits_the_record_that_is_shown_by_default(tmp_path: Path) -> None:
    """Its beats are of the kind that the model knows."""
    record = tmp_path / "sim"
    write_record(record, SimulationSettings(hours=1 / 60, seed=1))
    assert fit_of_shipped(record).state == "fits"

"""A person's word for a family: taken, kept, undone, refused; what is told of families."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.evidence import SHAPE_SAMPLES
from model.families import KEPT_S, FamiliesState, Family
from model.learning import Learned
from model.tracking import Normal
from monitor.detection.alert_machine import AlertState, high_since
from monitor.detection.engine import MOST_SHAPES, Engine
from monitor.detection.family_marks import family_statuses, take_word
from monitor.wire.messages import (
    MAX_FAMILIES,
    AckRequest,
    Alert,
    BeatScored,
    FamilyStatus,
    FamilyWord,
    MarkRequest,
    RelearnRequest,
)
from tests.monitor.checkpoints import TEMPLATE, template_checkpoint
from tests.monitor.detection.test_engine import Bench, Trainer, beats_message, end

FS_HZ = 250.0
LEARNT = replace(template_checkpoint(), normal=Normal(10.0, TEMPLATE[None]))
QUIET = AlertState()
CALM = 0.5  # loss of a normal beat


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def families(*made: tuple[int, int], word: FamilyWord = "") -> FamiliesState:
    """Return families by number and count; the last beat of family n came n seconds in."""
    shapes = np.zeros((len(made), 1, SHAPE_SAMPLES), "<f4")
    shapes[:, 0, 3] = 0.8
    of = tuple(Family(number, beats, (float(number),), word=word) for number, beats in made)
    return FamiliesState(of, shapes.tobytes(), 1, 99)


def first_family(engine: Engine) -> FamilyStatus:
    told = engine.report().patients[0].families
    assert told
    return told[0]


STANDING = [
    # what stands, and whether family 4, whose last beat came at 4 s, may be called normal
    (QUIET, True),
    (AlertState(active=True, priority="medium", episode_start_sample=250), True),
    (AlertState(active=True, priority="high", episode_start_sample=1000), False),
    (AlertState(active=True, priority="high", episode_start_sample=1001), True),
    (AlertState(latched=True, latched_from=1000), False),
    (AlertState(latched=True, latched_from=1001, episode_start_sample=250), True),
    (AlertState(latched=True, latched_from=250, episode_start_sample=5000), False),
    (AlertState(active=True, priority="high", acknowledged=True, episode_start_sample=250), False),
    (AlertState(priority="high", episode_start_sample=250), True),  # over, and acknowledged
]


@pytest.mark.parametrize(("stands", "is_taken"), STANDING)
def test_what_stands_in_a_high_alert_cannot_be_called_normal(
    stands: AlertState, is_taken: bool
) -> None:
    """A family that came since a high alert began, until that is over and acknowledged."""
    before = families((4, 10))
    if is_taken:
        assert take_word(before, stands, FS_HZ, 4, "normal").families[0].word == "normal"
    else:
        with pytest.raises(LookupError, match="family 4 stands in a high alert"):
            take_word(before, stands, FS_HZ, 4, "normal")
    assert take_word(before, stands, FS_HZ, 4, "always").families[0].word == "always"
    said = families((4, 10), word="normal")
    assert take_word(said, stands, FS_HZ, 4, "").families[0].word == ""


def test_a_family_kept_from_before_is_not_known_to_be_apart_from_a_high_alert() -> None:
    """When its beats came is not known any more: refused, to be on the safe side."""
    kept = FamiliesState((Family(1, 9, (KEPT_S,), word="always"),), bytes(4 * SHAPE_SAMPLES), 1, 2)
    with pytest.raises(LookupError, match="high alert"):
        take_word(kept, AlertState(latched=True, latched_from=0), FS_HZ, 1, "normal")


@pytest.mark.parametrize(
    ("number", "word", "why"),
    [(7, "normal", "no family 7"), (4, "", "nothing was said of family 4")],
)
def test_what_changes_nothing_is_refused(number: int, word: FamilyWord, why: str) -> None:
    """A family that is not known, and nothing to take back."""
    with pytest.raises(LookupError, match=why):
        take_word(families((4, 10)), QUIET, FS_HZ, number, word)


def test_a_word_twice_is_refused() -> None:
    """The journal keeps what a person did, not how often the key was pressed."""
    with pytest.raises(LookupError, match="normal already"):
        take_word(families((4, 10), word="normal"), QUIET, FS_HZ, 4, "normal")


def test_families_are_told_the_most_frequent_first() -> None:
    """At most eight; their shapes as small numbers whose peak is 100, where they are asked for."""
    state = families(*((number, 10 * number) for number in range(1, 12)))
    told = family_statuses(state, with_shapes=True)
    assert [one.number for one in told] == [11, 10, 9, 8, 7, 6, 5, 4]
    assert len(told) == MAX_FAMILIES
    assert (len(told[0].shape), max(told[0].shape), told[0].shape[3]) == (SHAPE_SAMPLES, 100, 100)
    assert family_statuses(state, with_shapes=False)[0] == FamilyStatus(11, 110, 1)


def test_a_rare_family_with_a_word_is_told() -> None:
    """Before frequent ones of which nothing was said: a person wants to see it, and undo it."""
    state = families(*((number, 10 * number) for number in range(1, 12)))
    told = family_statuses(take_word(state, QUIET, FS_HZ, 1, "normal"), with_shapes=False)
    assert (told[-1].number, told[-1].word) == (1, "normal")


def test_a_high_alert_stands_since_the_oldest_that_was_not_acknowledged() -> None:
    """It ends when it is over and acknowledged."""
    assert high_since(QUIET) is None
    both = AlertState(
        latched=True, latched_from=500, active=True, priority="high", episode_start_sample=900
    )
    assert high_since(both) == 500


def test_a_word_is_kept_over_a_restart(bench: Bench) -> None:
    """Shown with the next heartbeat, an entry in the journal, in force after the restart."""
    engine = bench.engine(LEARNT)
    bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8))
    assert first_family(engine).word == ""
    number = first_family(engine).number
    answer = engine.carry_out(MarkRequest("p", number, "normal", by="ana"))
    assert answer == f"p: family {number} is normal: it begins and prolongs no alert"
    bench.step(engine)
    (entry,) = marks(bench)
    assert (entry.family, entry.word, entry.by) == (number, "normal", "ana")
    assert (entry.priority, entry.sample, entry.beat) == ("low", 3600, [])
    engine = bench.restart(checkpoint=LEARNT)
    assert first_family(engine).word == "normal"
    said = bench.step(engine, beats_message([200.0, 200.0, CALM], 3600))
    assert [one for one in said if isinstance(one, Alert)] == []
    engine.carry_out(MarkRequest("p", number, ""))
    engine.carry_out(MarkRequest("p", number, "always"))
    said = bench.step(engine, beats_message([CALM] * 6 + [200.0], 4350))
    assert [one.state for one in said if isinstance(one, Alert)] == ["marked", "marked", "onset"]
    assert bench.restart(checkpoint=LEARNT).report().newest_seq == bench.journal.newest_seq


def marks(bench: Bench) -> list[Alert]:
    kept = bench.journal.alerts_after(0, 99)
    return [one for one in kept if isinstance(one, Alert) and one.state == "marked"]


def test_words_of_one_sample_are_entries_of_their_own(bench: Bench) -> None:
    """Said, taken back and said again before the next beat: three entries, three identities."""
    engine = bench.engine(LEARNT)
    bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8))
    number = first_family(engine).number
    said: list[FamilyWord] = ["normal", "", "normal"]
    for word in said:
        engine.carry_out(MarkRequest("p", number, word))
        bench.step(engine)
    assert len({one.id for one in marks(bench)}) == 3


def test_a_word_is_kept_over_a_learning(bench: Bench) -> None:
    """A family of which nothing was said is forgotten then, and its number is not used again."""
    trainer = Trainer()
    engine = bench.engine(LEARNT, learner=trainer)
    bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8))
    number = first_family(engine).number
    engine.carry_out(RelearnRequest("p"))
    engine.carry_out(MarkRequest("p", number, "normal"))  # in force after a restart, too
    bench.step(engine)
    assert first_family(bench.restart(checkpoint=LEARNT, learner=trainer)).word == "normal"


def test_a_word_is_in_force_when_a_learning_is_over(bench: Bench) -> None:
    """One family was called normal; another, of which nothing was said, is forgotten."""
    trainer = Trainer()
    engine = bench.engine(LEARNT, learner=trainer, learn_s=2.0)
    bench.step(engine, beats_message([CALM] * 4))
    trainer.futures[-1].set_result(Learned(LEARNT, 10, 9, "learnt 9 of 10 beats"))
    bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8, 1100))
    number = first_family(engine).number
    engine.carry_out(MarkRequest("p", number, "normal"))
    engine.carry_out(RelearnRequest("p"))
    bench.step(engine, beats_message([CALM] * 4, 4600))
    trainer.futures[-1].set_result(Learned(LEARNT, 10, 9, "learnt 9 of 10 beats"))
    said = bench.step(engine, beats_message([CALM] * 3 + [200.0], 5600))
    assert engine.report().patients[0].state == "monitoring"
    assert [one.family for one in said if isinstance(one, BeatScored) and one.anomalous] == [number]
    assert [one for one in said if isinstance(one, Alert) and one.state == "onset"] == []


def test_a_word_is_kept_in_the_next_run_of_a_patient(bench: Bench) -> None:
    """One who ended and comes again, in the same process or in another that has the journal."""
    engine = bench.engine(LEARNT)
    bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8))
    number = first_family(engine).number
    engine.carry_out(MarkRequest("p", number, "normal"))
    bench.step(engine, end(3600))
    bench.step(engine, beats_message([CALM] * 3 + [200.0], stretch=7))
    assert engine.report().patients[0].beats == 4
    assert (first_family(engine).number, first_family(engine).word) == (number, "normal")
    assert engine.report().patients[0].alerts == 0


def test_a_word_is_kept_where_the_next_run_only_has_the_journal(bench: Bench) -> None:
    """A monitor that was started again, and a sender that begins the patient's signal anew."""
    engine = bench.engine(LEARNT)
    bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8))
    number = first_family(engine).number
    engine.carry_out(MarkRequest("p", number, "normal"))
    bench.step(engine, end(3600))
    engine = bench.restart(checkpoint=LEARNT)
    said = bench.step(engine, beats_message([CALM] * 3 + [200.0], stretch=7))
    assert [one for one in said if isinstance(one, Alert)] == []
    assert (first_family(engine).number, first_family(engine).word) == (number, "normal")


def test_a_patient_who_is_learnt_has_no_families_yet(bench: Bench) -> None:
    """Nothing of a patient is journaled while that lasts: a word would be forgotten."""
    engine = bench.engine(LEARNT, learner=Trainer(), learn_s=60.0)
    bench.step(engine, beats_message([CALM] * 5))
    with pytest.raises(LookupError, match="still being learnt"):
        engine.carry_out(MarkRequest("p", 1, "normal"))


def test_a_request_for_another_journal_is_refused(bench: Bench) -> None:
    """Families have their numbers in one journal: who reads one may reach another's monitor."""
    engine = bench.engine(LEARNT)
    bench.step(engine, beats_message([CALM] * 5 + [200.0]))
    with pytest.raises(LookupError, match="not 0000"):
        engine.carry_out(MarkRequest("p", first_family(engine).number, "normal", journal="0000"))
    with pytest.raises(LookupError, match="stranger"):
        engine.carry_out(MarkRequest("stranger", 1, "normal"))


def test_a_high_alert_is_acknowledged_and_over_before_its_family_is_normal(bench: Bench) -> None:
    """Refused while it lasts, refused until it is acknowledged, then taken."""
    engine = bench.engine(LEARNT)
    bench.step(engine, beats_message([CALM] * 5 + [300.0] * 6))
    assert engine.report().patients[0].latched
    asked = MarkRequest("p", first_family(engine).number, "normal")
    for done in (None, beats_message([CALM] * 8, 2850)):
        if done is not None:
            bench.step(engine, done)
        with pytest.raises(LookupError, match="high alert"):
            engine.carry_out(asked)
    engine.carry_out(AckRequest("p"))
    assert "is normal" in engine.carry_out(asked)


def test_of_many_patients_a_few_carry_their_families(bench: Bench) -> None:
    """In turn, those first of whom a family or a word is new; so a ward's heartbeat stays small."""
    engine = bench.engine(LEARNT)
    names = [f"q{n:02d}" for n in range(2 * MOST_SHAPES)]
    for name in names:
        bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8, patient=name))

    def told() -> set[str]:
        patients = engine.report(200).patients
        return {one.patient for one in patients if one.families}

    first, second = told(), told()
    assert (len(first), first | second) == (MOST_SHAPES, set(names))
    later = sorted(second)[0]
    engine.carry_out(MarkRequest(later, 1, "normal"))
    assert later in told()
    assert all(one.families for one in engine.report().patients)  # the last one is of all


@pytest.mark.parametrize("learnt", [True, False])
def test_beats_beside_an_alert_are_kept_with_their_scores(bench: Bench, learnt: bool) -> None:
    """As published, and whether evidence was weighed: the bare rule judges who is not learnt."""
    engine = bench.engine(LEARNT if learnt else template_checkpoint())
    result = engine.step([beats_message([CALM] * 5 + [200.0] + [CALM] * 3)], 0)
    told = [one for one in result.messages if isinstance(one, BeatScored)]
    assert [one.weighed for one in told] == [learnt] * 9
    assert [one.score for one in told] == [round(one.score or 0.0, 3) for one in result.kept]
    assert [one.weighed for one in result.kept] == [learnt] * 9


def test_a_family_that_is_normal_prolongs_no_alert(bench: Bench) -> None:
    """Its beats stay anomalous and are counted; five of them end another family's alert."""
    engine = bench.engine(LEARNT)
    bench.step(engine, beats_message([CALM] * 5 + [200.0] + [CALM] * 8))
    number = first_family(engine).number
    engine.carry_out(MarkRequest("p", number, "normal"))
    other = beats_message([CALM] * 3 + [300.0], 3600)
    other.beats.values[-1] = 2 * TEMPLATE - other.beats.values[-1]  # the wave points down
    said = bench.step(engine, other, beats_message([200.0] * 6, 4600))
    assert [one.state for one in said if isinstance(one, Alert)] == ["marked", "onset", "cleared"]
    told = [one for one in said if isinstance(one, BeatScored) and one.anomalous]
    assert [one.family == number for one in told] == [False] + [True] * 6

"""One heartbeat of all partitions; who is not served is not shown as well."""

from __future__ import annotations

from monitor.ward.merged_status import FIRST_S, FORGOTTEN_S, NOBODYS_S, MergedStatus
from monitor.ward.names import WardIdentity
from monitor.wire.messages import UNSERVED, PatientStatus, Status, WardCounts, is_unreadable
from tests.messages import patient_status, status

WARD = WardIdentity("0123abcd", 2)


def heartbeat(*names: str, partition: int = 0, newest_seq: int = 0) -> Status:
    patients = [patient_status(patient=one, heart_rate_bpm=70.0) for one in names]
    counts = WardCounts(monitoring=len(names))
    journal = WARD.journal(partition)
    return status(patients=patients, ward=counts, journal=journal, newest_seq=newest_seq)


def merged(now_s: float = 0.0) -> MergedStatus:
    """Return one that has heard both partitions, a second after it could say who is nobody's."""
    one = MergedStatus()
    one.begin(WARD, now_s, knows_past=True)
    for second in range(round(FIRST_S) + 2):
        one.look(now_s + second, hears=True)
    return one


def told(one: MergedStatus) -> dict[str, PatientStatus]:
    return {patient.patient: patient for patient in one.status().patients}


def test_heartbeats_of_partitions_are_added_up() -> None:
    """Patients side by side, numbers summed, under the ward's name."""
    one = MergedStatus()
    one.begin(WARD, 0.0, knows_past=True)
    one.take("0", heartbeat("a", newest_seq=3), 0.5)
    one.take("1", heartbeat("b", "c", partition=1, newest_seq=4), 0.5)
    one.take("2", heartbeat("not of this ward"), 0.5)
    one.take("x", heartbeat("nor this"), 0.5)
    made = one.status()
    assert [patient.patient for patient in made.patients] == ["a", "b", "c"]
    assert (made.journal, made.newest_seq, made.ward.monitoring) == (WARD.identity, 7, 3)
    assert one.patients == ["a", "b", "c"]


def test_patients_whom_nobody_serves_have_no_heart_rate() -> None:
    """Each heartbeat says so until a worker is heard of them; who has ended is left in peace."""
    one = merged()
    at_s = FIRST_S + 1
    one.take("0", heartbeat("a"), at_s)
    one.take("1", heartbeat("b", partition=1), at_s)
    ended = patient_status(patient="gone", state="ended")
    one.take("1", status(patients=[ended], ward=WardCounts(monitoring=1)), at_s)
    later_s = at_s + NOBODYS_S + 0.5
    for now_s in (at_s + 1, at_s + 2, at_s + 3):
        one.take("0", heartbeat("a"), now_s)
        one.look(now_s, hears=True)
    (text,) = one.look(later_s, hears=True)
    assert "nobody serves partitions 1 (1 patient)" in text
    assert one.unserved == text
    assert told(one)["a"].heart_rate_bpm == 70.0
    assert told(one)["b"].heart_rate_bpm is None
    assert told(one)["b"].technical == [UNSERVED]
    assert is_unreadable([UNSERVED])
    assert "gone" not in told(one)
    one.take("1", heartbeat("b", partition=1), later_s + 1)
    assert one.look(later_s + 1, hears=True) == ["partitions 1 are served again"]
    assert told(one)["b"].heart_rate_bpm == 70.0
    assert one.unserved == ""


def test_without_a_connection_nobody_is_called_nobody_s() -> None:
    """What could not be heard says nothing of workers; they have time to be heard again."""
    one = merged()
    one.take("0", heartbeat("a"), 6.0)
    one.take("1", heartbeat("b", partition=1), 6.0)
    one.look(6.5, hears=True)
    for second in range(7, 90):
        assert one.look(float(second), hears=False) == []
    one.look(90.0, hears=True)
    assert one.look(92.0, hears=True) == []
    assert one.unserved == ""
    assert sorted(told(one)) == ["a", "b"]


def test_patients_of_another_ward_are_not_monitored() -> None:
    """The server came back with another ward: who was in the old one is told so, until heard."""
    one = merged()
    one.take("0", heartbeat("a", "b"), 6.0)
    one.begin(WardIdentity("ffff0000", 3), 10.0, knows_past=True)
    one.take("2", heartbeat("b", partition=2), 10.5)
    assert {name: of.technical for name, of in told(one).items()} == {"a": [UNSERVED], "b": []}


def test_whom_a_partition_gave_up_is_forgotten() -> None:
    """It speaks of many in turn, so not at once."""
    one = merged()
    one.take("0", heartbeat("a", "b"), 0.0)
    one.take("0", heartbeat("b"), FORGOTTEN_S - 1)
    assert one.patients == ["a", "b"]
    one.take("0", heartbeat("b"), FORGOTTEN_S + 1)
    assert one.patients == ["b"]

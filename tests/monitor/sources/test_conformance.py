"""What every source promises, of every source that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.sources.kinds import open_record
from tests.monitor.sources import conformance
from tests.monitor.sources.conformance import RecordCase, Written
from tests.monitor.sources.record_cases import RECORD_CASES


@pytest.fixture(params=RECORD_CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> RecordCase:
    found: RecordCase = request.param
    return found


@pytest.fixture
def written(case: RecordCase, tmp_path: Path) -> Written:
    return case.write(tmp_path)


def test_every_sample_is_what_the_formats_own_library_reads(written: Written) -> None:
    """To the bit, and NaN where it reads nothing."""
    conformance.check_bits(written)


def test_windows_do_not_change_a_sample(written: Written) -> None:
    """Of any size, in any order."""
    conformance.check_windows(written)


def test_a_record_that_is_opened_again_is_the_same(written: Written) -> None:
    """So a run can go on in it."""
    conformance.check_again(written)


def test_leads_are_chosen_by_name_or_number(written: Written) -> None:
    """One that is not there is refused with those that are."""
    conformance.check_leads(written)


def test_a_record_is_known_by_its_content(
    case: RecordCase, written: Written, tmp_path: Path
) -> None:
    """Not by its ending."""
    if not case.by_content:
        pytest.skip(f"{case.name} is known by its header's name: signal files look like anything")
    conformance.check_known_by_content(written, tmp_path)


def test_memory_does_not_grow_with_the_record(case: RecordCase, tmp_path: Path) -> None:
    """A window takes what it holds."""
    long = case.write_long(tmp_path)
    conformance.check_memory(long, case.long_options, case.memory_bytes)


def test_a_file_that_is_cut_short_is_refused_or_read_as_far_as_it_goes(written: Written) -> None:
    """In one line; what is read is right."""
    with open_record(written.path, written.options) as record:
        files = record.files
    conformance.check_cut_short(written, files)


def test_the_producer_sends_all_of_it(written: Written) -> None:
    """Once, in order, then its end."""
    conformance.check_played(written)

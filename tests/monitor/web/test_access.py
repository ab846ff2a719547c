"""Who may reach the page, and who may act."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import InvalidOption
from monitor.web.access import (
    MAX_WRONG,
    WRONG_WITHIN_S,
    Access,
    Door,
    is_host_allowed,
    is_same_origin,
    parse_access,
)


@pytest.mark.parametrize(
    ("listen", "host"),
    [("8571", "127.0.0.1"), ("localhost:80", "localhost"), ("[::1]:8571", "[::1]")],
)
def test_the_page_is_this_machine_s_by_default(listen: str, host: str) -> None:
    """A loopback address needs nothing further."""
    access = parse_access(listen, None, None, None, False)
    assert (access.host, access.is_local, access.token) == (host, True, "")


@pytest.mark.parametrize("listen", ["0.0.0.0:8571", "192.0.2.1:80", "ward.example:443"])
def test_beyond_this_machine_it_needs_encryption(listen: str, tmp_path: Path) -> None:
    """Refused, with what to do; TLS or a stated proxy open it."""
    with pytest.raises(InvalidOption, match=r"refused beyond this machine.*--tls-cert.*--behind"):
        parse_access(listen, tmp_path / "token", None, None, False)
    assert not (tmp_path / "token").exists()
    assert not parse_access(listen, None, None, None, True).is_local
    pem = tmp_path / "x.pem"
    pem.write_text("")
    assert parse_access(listen, None, pem, pem, False).url.startswith("https://")


@pytest.mark.parametrize("listen", ["", "host", "host:0", "1.2.3.4:99999", "a b:80", "http://x:1"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    """In words, before anything starts."""
    with pytest.raises(InvalidOption, match="is no address; give HOST:PORT"):
        parse_access(listen, None, None, None, False)


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    """Both or none, and both there."""
    with pytest.raises(InvalidOption, match="give both"):
        parse_access("8571", None, tmp_path / "x", None, False)
    with pytest.raises(InvalidOption, match="no such file"):
        parse_access("8571", None, tmp_path / "x", tmp_path / "x", False)


def test_a_token_is_made_and_kept(tmp_path: Path) -> None:
    """The first start makes the file, for its owner alone; the next reads it."""
    path = tmp_path / "token"
    token = parse_access("8571", path, None, None, False).token
    assert len(token) >= 16
    assert path.stat().st_mode & 0o777 == 0o600
    assert parse_access("8571", path, None, None, False).token == token


def test_a_token_that_others_read_is_refused(tmp_path: Path) -> None:
    """So is one that is short, and a file that cannot be made."""
    path = tmp_path / "token"
    path.write_text("a" * 20)
    path.chmod(0o644)
    with pytest.raises(InvalidOption, match="can be read by others; chmod 600"):
        parse_access("8571", path, None, None, False)
    path.write_text("short")
    path.chmod(0o600)
    with pytest.raises(InvalidOption, match="holds no token"):
        parse_access("8571", path, None, None, False)
    with pytest.raises(InvalidOption, match="--token"):
        parse_access("8571", tmp_path / "no" / "token", None, None, False)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8571", True),
        ("localhost", True),
        ("[::1]:8571", True),
        ("evil.example:8571", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_a_name_that_is_led_here_is_refused(host: str, allowed: bool) -> None:
    """A page for this machine answers to this machine's own names alone."""
    assert is_host_allowed(Access("127.0.0.1", 8571), {"host": host}) is allowed


def test_other_pages_are_told_by_their_origin() -> None:
    """A browser says which page asks; a program that is no browser says nothing."""
    assert is_same_origin({"host": "h:1"})
    assert is_same_origin({"host": "h:1", "origin": "https://h:1"})
    assert not is_same_origin({"host": "h:1", "origin": "https://evil.example"})
    assert not is_same_origin({"host": "h:1", "origin": "null"})


def test_the_door_opens_to_the_token_alone() -> None:
    """And to nobody where there is none."""
    door = Door("a" * 20)
    assert door.refusal({"authorization": f"Bearer {'a' * 20}"}, 0.0) == (200, "")
    assert door.refusal({"authorization": f"Bearer {'é' * 20}"}, 0.0)[0] == 401
    assert door.refusal({}, 0.0)[0] == 401
    assert Door("").refusal({"authorization": "Bearer "}, 0.0)[0] == 403


def test_guessing_is_slow() -> None:
    """After some wrong tokens none is compared for a minute."""
    door = Door("a" * 20)
    for _ in range(MAX_WRONG):
        assert door.refusal({}, 0.0)[0] == 401
    right = {"authorization": f"Bearer {'a' * 20}"}
    assert door.refusal(right, 1.0)[0] == 429
    assert door.refusal(right, WRONG_WITHIN_S + 1)[0] == 200

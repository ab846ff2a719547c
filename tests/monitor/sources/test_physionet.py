"""Records fetched by name, against a loopback server with PhysioNet's layout."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import wfdb

from monitor.errors import DownloadError, InvalidOption
from monitor.sources.physionet import fetch_record, is_record_name
from monitor.sources.simulated import SimulationSettings, write_record
from tests.monitor.sources.physionet_server import PhysioNetServer, redirect, send, serve

FILES = "/files/mitdb/1.0.0/"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhysioNetServer]:
    monkeypatch.setenv("no_proxy", "*")
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return a record's files by name, with its annotations called `.atr`."""
    path = tmp_path_factory.mktemp("made") / "208"
    write_record(path, SimulationSettings(hours=0.01, seed=1))
    return {
        "208.hea": path.with_suffix(".hea").read_bytes(),
        "208.dat": path.with_suffix(".dat").read_bytes(),
        "208.atr": path.with_suffix(".ecg").read_bytes(),
    }


@pytest.fixture
def record(made: dict[str, bytes]) -> dict[str, bytes]:
    """Return files that a test may change."""
    return dict(made)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def files_under(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def refusal(cache: Path, server: PhysioNetServer, name: str = "mitdb/208") -> str:
    """Return what fetching a broken record says; nothing of it may stay in the cache."""
    with pytest.raises(DownloadError) as caught:
        fetch_record(name, cache, server.url, timeout_s=5)
    message = str(caught.value)
    assert message.isprintable(), "one harmless line"
    assert files_under(cache) == []
    assert not list(cache.rglob(".part-*"))
    return message


def test_record_is_fetched_whole(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Header, signal file and annotations arrive byte for byte, and wfdb reads them."""
    server.add_database("mitdb", "1.0.0", record)
    path = fetch_record("mitdb/208", cache, server.url)
    assert files_under(cache) == ["208.atr", "208.dat", "208.hea"]
    for name, content in record.items():
        assert (path.parent / name).read_bytes() == content
    assert wfdb.rdrecord(str(path)).sig_len == 9000
    assert len(wfdb.rdann(str(path), "atr").sample) > 30


def test_cached_record_needs_no_network(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """The second call asks the server for nothing."""
    server.add_database("mitdb", "1.0.0", record)
    first = fetch_record("mitdb/208", cache, server.url)
    asked = len(server.requested)
    assert fetch_record("mitdb/208", cache, server.url) == first
    assert len(server.requested) == asked


def test_newest_version_is_taken_from_the_redirect(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Whatever version a database's page leads to is the one fetched."""
    server.add_database("mitdb", "2.10.1", record)
    fetch_record("mitdb/208", cache, server.url)
    assert "/files/mitdb/2.10.1/208.dat" in server.requested


def test_newest_version_is_taken_from_the_page(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Where the page does not redirect, the text that wfdb relies on is read."""
    server.add_database("mitdb", "1.0.0", record)
    server.files["/content/mitdb/"] = b"<!-- wfdb-python: <p>Version: 1.0.0</p> -->"
    fetch_record("mitdb/208", cache, server.url)
    assert f"{FILES}208.dat" in server.requested


@pytest.mark.parametrize("page", [b"", b"Version: ../../etc", b"Version: 1"])
def test_page_without_version_is_refused(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path, page: bytes
) -> None:
    """No path is built from what is no version number."""
    server.add_database("mitdb", "1.0.0", record)
    server.files["/content/mitdb/"] = page
    assert "which version of mitdb" in refusal(cache, server)


def test_chfdb_annotations_are_found(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """A database without `.atr` has its beats in `.ecg`."""
    record["208.ecg"] = record.pop("208.atr")
    server.add_database("mitdb", "1.0.0", record)
    path = fetch_record("mitdb/208", cache, server.url)
    assert path.with_suffix(".ecg").read_bytes() == record["208.ecg"]


def test_record_without_annotations_is_fetched(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Annotations are welcome, not needed."""
    del record["208.atr"]
    server.add_database("mitdb", "1.0.0", record)
    fetch_record("mitdb/208", cache, server.url)
    assert files_under(cache) == ["208.dat", "208.hea"]


def test_record_in_a_subfolder(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """A record may lie deeper in its database; its cache folder is no other record's."""
    server.add_database("deepdb", "1.0.0", {f"p1/{n}": content for n, content in record.items()})
    server.add_database("mitdb", "1.0.0", record)
    deep = fetch_record("deepdb/p1/208", cache, server.url)
    assert deep.name == "208"
    assert deep.parent != fetch_record("mitdb/208", cache, server.url).parent


DEEP = "files/p1000/p10000000/s40000000/more/and/more/208"


@pytest.mark.parametrize("version", ["", "1.0/"])
def test_record_in_folders_of_any_depth(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path, version: str
) -> None:
    """Names of MIMIC-IV-ECG have six parts; a version, as in the addresses, may be among them."""
    folder = DEEP.rpartition("/")[0]
    server.add_database("mimic", "1.0", {f"{folder}/{n}": one for n, one in record.items()})
    path = fetch_record(f"mimic/{version}{DEEP}", cache, server.url)
    assert wfdb.rdrecord(str(path)).sig_len == 9000
    assert f"/files/mimic/1.0/{DEEP}.dat" in server.requested
    assert ("/content/mimic/" in server.requested) == (version == "")


def test_a_version_that_is_named_is_the_one_fetched(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """An older version than the newest is another record, kept apart from it."""
    server.add_database("mitdb", "0.9", {**record, "208.atr": record["208.atr"][:-2] + b"\0\0"})
    server.add_database("mitdb", "1.0.0", record)
    old = fetch_record("mitdb/0.9/208", cache, server.url)
    assert "/files/mitdb/0.9/208.dat" in server.requested
    assert fetch_record("mitdb/208", cache, server.url) != old


def test_a_name_longer_than_a_folder_may_be(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Two long names that differ in the middle alone have two places in the cache."""
    places = set()
    for middle in "ab":
        folder = f"{'x' * 100}/{'y' * 100}/{middle}/{'z' * 100}"
        server.add_database("long", "1.0", {f"{folder}/{n}": one for n, one in record.items()})
        places.add(fetch_record(f"long/{folder}/208", cache, server.url))
    assert len(places) == 2


def with_sums(files: dict[str, bytes], line: str = "{digest} {name}\n") -> dict[str, bytes]:
    """Return a database's files with their list of checksums."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    sums = "".join(line.format(digest=digest, name=name) for name, digest in digests.items())
    return {**files, "SHA256SUMS.txt": sums.encode()}


@pytest.mark.parametrize(
    "line", ["{digest} {name}\n", "{digest}  {name}\r\n", "{digest} *./{name}\n"]
)
@pytest.mark.parametrize("folder", ["", "p1/p2/p3/p4/p5/"])
def test_what_is_fetched_is_what_was_published(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path, folder: str, line: str
) -> None:
    """A file that was changed on its way is refused by name, and nothing of it is kept."""
    files = with_sums({f"{folder}{name}": content for name, content in record.items()}, line)
    server.add_database("mitdb", "1.0.0", files)
    name, said = f"mitdb/{folder}208", list[str]()
    for suffix in ("hea", "dat", "atr"):
        whole = record[f"208.{suffix}"]
        changed = whole[:-1] + bytes([whole[-1] ^ 1]) if suffix != "hea" else whole + b"# x\n"
        server.files[f"{FILES}{folder}208.{suffix}"] = changed
        assert f"{folder}208.{suffix} is not what" in refusal(cache, server, name)
        server.files[f"{FILES}{folder}208.{suffix}"] = whole
    path = fetch_record(name, cache, server.url, on_notice=said.append)
    assert path.with_suffix(".dat").read_bytes() == record["208.dat"]
    assert said == []


def test_the_list_of_checksums_is_fetched_once(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """That of MIMIC-IV-ECG has some 200 MB; a byte-order mark in it does no harm."""
    other = {name.replace("208", "209"): content for name, content in record.items()}
    other["209.hea"] = record["208.hea"].replace(b"208", b"209")
    files = with_sums({**other, **record})
    files["SHA256SUMS.txt"] = b"\xef\xbb\xbf" + files["SHA256SUMS.txt"]
    server.add_database("mitdb", "1.0.0", files)
    for name in ("mitdb/208", "mitdb/209"):
        fetch_record(name, cache, server.url, on_notice=pytest.fail)
    assert server.requested.count(f"{FILES}SHA256SUMS.txt") == 1


def test_what_cannot_be_compared_is_said(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """A database without checksums, and a file that is not among them."""
    server.add_database("bare", "1.0.0", record)
    files = with_sums({name: one for name, one in record.items() if name != "208.atr"})
    server.add_database("part", "1.0.0", {**record, **files})
    said: list[str] = []
    for name in ("bare/208", "part/208"):
        fetch_record(name, cache, server.url, on_notice=said.append)
    assert said == [
        "bare 1.0.0 publishes no checksums: nothing was compared",
        "not among the database's checksums, so not compared: 208.atr",
    ]


def test_multi_segment_record(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Segments are fetched with their own headers and signal files."""
    record["long.hea"] = b"long/2 2 250 18000\n208 9000\n209 9000\n"
    record["209.hea"] = record["208.hea"].replace(b"208", b"209")
    record["209.dat"] = record["208.dat"]
    server.add_database("mitdb", "1.0.0", record)
    path = fetch_record("mitdb/long", cache, server.url)
    signal = wfdb.rdrecord(str(path)).p_signal
    assert signal.shape == (18000, 2)
    np.testing.assert_array_equal(signal[:9000], signal[9000:])


def test_progress_counts_signal_bytes(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Progress rises to the size of the signal files, known from the header."""
    server.add_database("mitdb", "1.0.0", record)
    seen: list[tuple[int, int | None]] = []
    fetch_record("mitdb/208", cache, server.url, lambda done, total: seen.append((done, total)))
    size = len(record["208.dat"])
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_error_of_the_progress_callback_is_not_hidden(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """A mistake of the caller, or Ctrl-C, comes through, and nothing stays behind."""
    server.add_database("mitdb", "1.0.0", record)

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_record("mitdb/208", cache, server.url, interrupt)
    assert files_under(cache) == []


def test_half_a_record_in_the_cache_is_fetched_again(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """A truncated signal file is not taken for a record."""
    server.add_database("mitdb", "1.0.0", record)
    path = fetch_record("mitdb/208", cache, server.url)
    path.with_suffix(".dat").write_bytes(b"short")
    fetch_record("mitdb/208", cache, server.url)
    assert path.with_suffix(".dat").read_bytes() == record["208.dat"]


# --- what can go wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "208",
        "mitdb/",
        "/208",
        "/etc/passwd",
        "mitdb/../208",
        "../mitdb/208",
        "mitdb//208",
        "mitdb/208.hea",
        "mitdb/2 08",
        "mitdb/208\n",
        "mitdb/\x1b[31m",
        "mitdb\\208",
        "mitdb/२०८",
        "http://host/208",
        "a/" + "b" * 129,
        "a" + "/b" * 500,
        "mitdb/1.0.0",
        "mitdb/208/1.0.0",
        "mitdb/1.0.0/1.0.0/208",
        "mitdb/208?x=1",
        "mitdb/-208",
    ],
)
def test_malformed_name_is_refused(server: PhysioNetServer, cache: Path, name: str) -> None:
    """Only database/record of letters, digits, _ and - is asked for; nothing else is tried."""
    assert not is_record_name(name)
    with pytest.raises(InvalidOption) as caught:
        fetch_record(name, cache, server.url)
    assert str(caught.value).isprintable()
    assert server.requested == []


@pytest.mark.parametrize(
    "url", ["file:///etc", "ftp://host", "host", "http://", "http://a b", "http://h/?q", "http://["]
)
def test_malformed_base_url_is_refused(cache: Path, url: str) -> None:
    """Nothing but HTTP is spoken."""
    with pytest.raises(InvalidOption, match="base URL"):
        fetch_record("mitdb/208", cache, url)


def test_offline_says_where_to_put_the_files(cache: Path, server: PhysioNetServer) -> None:
    """No server at all: one line with the folder and the header's name; files there are used."""
    closed = PhysioNetServer()
    closed.url = "http://127.0.0.1:9"  # the discard port: nobody listens
    message = refusal(cache, closed)
    assert "208.hea" in message
    folder = Path(message.rpartition(" into ")[2])
    write_record(folder / "208", SimulationSettings(hours=0.01, seed=1))
    assert fetch_record("mitdb/208", cache, closed.url) == folder / "208"


def test_missing_database(cache: Path, server: PhysioNetServer) -> None:
    """A 404 is named as such."""
    assert "/content/mitdb/ does not exist (404)" in refusal(cache, server)


@pytest.mark.parametrize("missing", ["208.hea", "208.dat"])
def test_missing_file(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path, missing: str
) -> None:
    """A record without header or signal file is not kept in part."""
    del record[missing]
    server.add_database("mitdb", "1.0.0", record)
    assert f"{missing} does not exist (404)" in refusal(cache, server)


def test_refused_access(server: PhysioNetServer, record: dict[str, bytes], cache: Path) -> None:
    """Restricted databases answer 403."""
    server.add_database("mitdb", "1.0.0", record)
    server.files[f"{FILES}208.hea"] = lambda handler: send(handler, 403, b"log in")
    assert "was refused (403)" in refusal(cache, server)


def test_broken_annotation_fails_the_record(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Only a 404 means that there are no annotations; a failing server does not."""
    server.add_database("mitdb", "1.0.0", record)
    server.files[f"{FILES}208.atr"] = lambda handler: send(handler, 500, b"")
    assert "was refused (500)" in refusal(cache, server)


def test_truncated_body(server: PhysioNetServer, record: dict[str, bytes], cache: Path) -> None:
    """A body shorter than announced is a broken connection."""
    server.add_database("mitdb", "1.0.0", record)
    body = record["208.dat"]
    server.files[f"{FILES}208.dat"] = lambda handler: send(handler, 200, body[:100], len(body))
    assert f"broke off after 100 of {len(body)} bytes" in refusal(cache, server)


def test_signal_file_shorter_than_the_header_says(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """An honest length does not help where the header needs more than another second."""
    record["208.dat"] = record["208.dat"][:-1500]
    server.add_database("mitdb", "1.0.0", record)
    assert "truncated" in refusal(cache, server)


@pytest.mark.parametrize("announced", [1 << 40, "-1", "many"])
def test_oversized_signal_file(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path, announced: int | str
) -> None:
    """A file far larger than the header explains is refused, announced or not."""
    server.add_database("mitdb", "1.0.0", record)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        try:
            send(handler, 200, bytes(3 << 20), announced)
        except ConnectionError:
            return  # the client hung up, as it should

    server.files[f"{FILES}208.dat"] = answer
    assert refusal(cache, server)


def test_huge_header(server: PhysioNetServer, record: dict[str, bytes], cache: Path) -> None:
    """A header is at most a mebibyte."""
    record["208.hea"] += b"# " + b"x" * (1 << 20)
    server.add_database("mitdb", "1.0.0", record)
    assert "208.hea has" in refusal(cache, server)


@pytest.mark.parametrize(
    "file_name", ["../208.dat", "/etc/passwd", "..", "a/b.dat", "http://x/y", "a\\b.dat"]
)
def test_file_names_that_lead_elsewhere(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path, file_name: str
) -> None:
    """A header may name files beside it only; nothing else is asked for."""
    record["208.hea"] = record["208.hea"].replace(b"208.dat", file_name.encode())
    server.add_database("mitdb", "1.0.0", record)
    refusal(cache, server)
    assert server.requested[-1] == f"{FILES}208.hea"


def test_segments_that_name_themselves(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """A record that is its own segment is refused, not followed."""
    record["208.hea"] = b"208/1 2 250 9000\n208 9000\n"
    server.add_database("mitdb", "1.0.0", record)
    refusal(cache, server)


def test_too_many_segments(server: PhysioNetServer, record: dict[str, bytes], cache: Path) -> None:
    """A small header cannot make us ask for thousands of files."""
    lines = [f"s{i} 10" for i in range(1001)]
    record["208.hea"] = "\n".join(["208/1001 2 250 10010", *lines, ""]).encode()
    server.add_database("mitdb", "1.0.0", record)
    assert "1001 segments" in refusal(cache, server)


def test_foreign_page_instead_of_a_header(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """A captive portal's page, escape codes and all, is no header and is not echoed raw."""
    record["208.hea"] = b"<html>\x1b[2J log in </html>"
    server.add_database("mitdb", "1.0.0", record)
    refusal(cache, server)


def test_empty_file(server: PhysioNetServer, record: dict[str, bytes], cache: Path) -> None:
    """An empty answer is no file."""
    record["208.hea"] = b""
    server.add_database("mitdb", "1.0.0", record)
    assert "208.hea is empty" in refusal(cache, server)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[", "/"])
def test_redirect_elsewhere(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path, location: str
) -> None:
    """A redirect leads to HTTP or nowhere."""
    server.add_database("mitdb", "1.0.0", record)
    server.files[f"{FILES}208.hea"] = redirect(location)
    refusal(cache, server)


def test_silent_server(server: PhysioNetServer, record: dict[str, bytes], cache: Path) -> None:
    """A server that stops in the middle of a file is given up after the timeout."""
    server.add_database("mitdb", "1.0.0", record)

    def stall(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 200, record["208.dat"][:100], len(record["208.dat"]))
        server.released.wait(30)

    server.files[f"{FILES}208.dat"] = stall
    with pytest.raises(DownloadError, match=r"no answer within 0\.3 s"):
        fetch_record("mitdb/208", cache, server.url, timeout_s=0.3)
    assert files_under(cache) == []


def test_server_that_never_answers(server: PhysioNetServer, cache: Path) -> None:
    """The first request is bounded in time too."""

    def hang(handler: BaseHTTPRequestHandler) -> None:
        server.released.wait(30)

    server.files["/content/mitdb/"] = hang
    with pytest.raises(DownloadError, match=r"no answer within 0\.3 s"):
        fetch_record("mitdb/208", cache, server.url, timeout_s=0.3)


def test_answer_that_is_not_http(
    server: PhysioNetServer, record: dict[str, bytes], cache: Path
) -> None:
    """Noise on the port is reported as such."""

    def babble(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"?\r\n")

    server.files["/content/mitdb/"] = babble
    assert "no proper answer" in refusal(cache, server)


def test_cache_that_cannot_be_written(
    server: PhysioNetServer, record: dict[str, bytes], tmp_path: Path
) -> None:
    """A file where the folder should be: said in one line, with the folder."""
    server.add_database("mitdb", "1.0.0", record)
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(DownloadError, match="use another cache folder"):
        fetch_record("mitdb/208", blocked, server.url)

"""Secrets stand in a file of the owner's, by host."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.delivery.sinks.credentials import Credentials, SecretsFile
from monitor.errors import InvalidOption


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secrets.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_credentials_are_found_by_host(tmp_path: Path) -> None:
    """In any case; another host has none."""
    secrets = SecretsFile(written(tmp_path, '["Broker.example"]\nuser = "w"\npassword = "p"'))
    assert secrets.of("broker.EXAMPLE") == Credentials(user="w", password="p")
    assert secrets.of("other") == Credentials()


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ('["a"]\nuser = "s3cret"', 0o644, "chmod 600"),
        ('["a"]\npasword = "s3cret"', 0o600, "pasword"),
        ('["a"]\npassword = 1', 0o600, "str"),
        ('password = "s3cret"', 0o600, "table a host"),
        ('["a"\npassword = "s3cret"', 0o600, "table a host"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, mode: int, said: str, tmp_path: Path) -> None:
    """Is refused; the error shows no secret."""
    with pytest.raises(InvalidOption, match=said) as caught:
        SecretsFile(written(tmp_path, text, mode))
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is named."""
    with pytest.raises(InvalidOption, match="nowhere"):
        SecretsFile(tmp_path / "nowhere")


def test_a_secret_is_never_printed() -> None:
    """Nor by a debugger, a log or a traceback."""
    assert "p" not in repr(Credentials(password="p")).removeprefix("Credentials")


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    """Is an error before anything connects."""
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(InvalidOption, match=r"ca\.pem"):
        Credentials(ca=str(path)).tls()

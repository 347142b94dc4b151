"""Certificate of the console."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509

from edge.config import TerminalConfig
from edge.console.settings import ConsoleSettings, build_settings
from edge.console.tls import (
    LIFETIME,
    CertificateFiles,
    certificate_files,
    fingerprint,
    prepare_certificate,
    remaining,
)
from edge.errors import ConfigError
from edge.ops.check_result import ERROR, OK, WARNING
from edge.ops.console_check import check_console

NOW = datetime(2026, 11, 30, tzinfo=timezone.utc)


@pytest.fixture
def settings(console_config: TerminalConfig) -> ConsoleSettings:
    return replace(build_settings(console_config), names=("door.example.org", "192.0.2.7"))


def test_certificate_names_the_console(settings: ConsoleSettings) -> None:
    assert prepare_certificate(settings, NOW)
    files = certificate_files(settings)
    names = files.read().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["door.example.org"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert files.server_context().minimum_version.name == "TLSv1_2"


def test_certificate_is_renewed_before_its_end(settings: ConsoleSettings) -> None:
    prepare_certificate(settings, NOW)
    before = fingerprint(certificate_files(settings).read())
    assert not prepare_certificate(settings, NOW + LIFETIME - timedelta(days=31))
    assert fingerprint(certificate_files(settings).read()) == before
    later = NOW + LIFETIME - timedelta(days=29)
    assert prepare_certificate(settings, later)
    assert remaining(certificate_files(settings).read(), later) == LIFETIME


def test_configured_certificate_is_not_made(settings: ConsoleSettings, tmp_path: Path) -> None:
    files = tmp_path / "console.crt", tmp_path / "console.key"
    configured = replace(settings, certificate=files)
    assert not prepare_certificate(configured, NOW)
    assert certificate_files(configured) == CertificateFiles(*files, is_own=False)


def test_key_of_another_certificate_is_refused(settings: ConsoleSettings) -> None:
    prepare_certificate(settings, NOW)
    files = certificate_files(settings)
    prepare_certificate(replace(settings, folder=settings.folder / "other"), NOW)
    wrong = replace(files, key=settings.folder / "other" / files.key.name)
    with pytest.raises(ConfigError, match="cannot be used with the key"):
        wrong.server_context()


@pytest.mark.parametrize(
    ("left", "level", "text"),
    [(400, OK, "SHA-256"), (20, WARNING, "restart edge-console"), (-1, ERROR, "expired")],
)
def test_doctor_watches_the_certificate(
    console_config: TerminalConfig, left: int, level: str, text: str
) -> None:
    made = datetime.now(timezone.utc) - LIFETIME + timedelta(days=left)
    prepare_certificate(build_settings(console_config), made)
    finding = list(check_console(console_config))[-1]
    assert finding.level == level and text in finding.message


def test_certificate_without_key_is_replaced(settings: ConsoleSettings) -> None:
    prepare_certificate(settings, NOW)
    files = certificate_files(settings)
    before = files.key.read_bytes()
    prepare_certificate(replace(settings, folder=settings.folder / "other"), NOW)
    for key in (before, (settings.folder / "other" / files.key.name).read_bytes(), b""):
        files.key.write_bytes(key)
        assert prepare_certificate(settings, NOW) == (key != before)
        files.server_context()


def test_certificate_of_the_future_is_replaced(settings: ConsoleSettings) -> None:
    prepare_certificate(settings, NOW + timedelta(days=400))
    assert prepare_certificate(settings, NOW)

"""Certificate of the console: its own, self-signed, or one of the configuration."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.console.settings import ConsoleSettings
from edge.errors import ConfigError
from edge.system.atomic_files import make_folder, write_atomic

LIFETIME = timedelta(days=820)  # some systems refuse certificates of more than 825 days
RENEW_BEFORE = timedelta(days=30)
_CERTIFICATE, _KEY = "certificate.pem", "certificate.key"
_MODE_KEY, _MODE_CERTIFICATE = 0o600, 0o644


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path
    is_own: bool  # made by the console

    def read(self) -> x509.Certificate:
        """Return the certificate; raises ConfigError."""
        try:
            return x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.certificate}: cannot be read as a certificate: {error}; "
                "correct `console.certificate`"
            ) from error

    def server_context(self) -> ssl.SSLContext:
        """Return the settings of the TLS server; raises ConfigError."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.certificate}: cannot be used with the key {self.key}: {error}; correct "
                "`console.certificate` and `console.certificate_key`"
            ) from error
        return context


def certificate_files(settings: ConsoleSettings) -> CertificateFiles:
    """Return the files in use, which may not exist yet."""
    if settings.certificate is not None:
        return CertificateFiles(*settings.certificate, is_own=False)
    folder = settings.folder
    return CertificateFiles(folder / _CERTIFICATE, folder / _KEY, is_own=True)


def prepare_certificate(settings: ConsoleSettings, now: datetime) -> bool:
    """Make the console's own certificate unless there is a usable one; return True if made.

    Raises ConfigError if the files cannot be written.
    """
    files = certificate_files(settings)
    if not files.is_own or _is_usable(files, now):
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(settings, key, now)
    try:
        make_folder(settings.folder, 0o750)
        write_atomic(files.key, _key_bytes(key), _MODE_KEY)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        write_atomic(files.certificate, pem, _MODE_CERTIFICATE)
    except OSError as error:
        raise ConfigError(
            f"{files.certificate}: cannot be written: {error.strerror}; check folder and rights"
        ) from error
    return True


def _is_usable(files: CertificateFiles, now: datetime) -> bool:
    """Return False for a certificate that ends soon, or that a power cut left without its key."""
    try:
        certificate = files.read()
        files.server_context()
    except ConfigError:
        return False
    # A terminal without a battery may have made it while its clock was ahead.
    return certificate.not_valid_before_utc <= now and remaining(certificate, now) > RENEW_BEFORE


def remaining(certificate: x509.Certificate, now: datetime) -> timedelta:
    """Return how long a certificate is still valid; negative after its end."""
    return certificate.not_valid_after_utc - now


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 that browsers show, to compare."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _sign(
    settings: ConsoleSettings, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    names = settings.names or _machine_names()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The clock of a client may be behind.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(usage, False)
        .sign(key, hashes.SHA256())
    )


def _machine_names() -> tuple[str, ...]:
    name = socket.gethostname()
    return tuple(dict.fromkeys((name, f"{name.partition('.')[0]}.local", "localhost")))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def utc_now() -> datetime:
    return datetime.now(timezone.utc)

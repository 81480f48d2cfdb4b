"""TLS for the workspace: an authority of its own, and the certificate that it signs.

The two differ because clients refuse a certificate that is its own authority. A client is told to
trust ``ca.pem``; it goes on being trusted when the server's certificate is renewed.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
LEAF_DAYS = 397  # clients on some platforms refuse more
RENEW_DAYS = 30
ALWAYS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificates:
    """PEM files: authority, its key, the server's certificate and key, and a bundle for children.

    ``bundle`` holds the authorities that this machine's Python trusts, and ours.
    """

    authority: Path
    authority_key: Path
    leaf: Path
    leaf_key: Path
    bundle: Path


def locate(folder: Path) -> Certificates:
    names = ("ca.pem", "ca.key", "server.pem", "server.key", "bundle.pem")
    return Certificates(*(folder / name for name in names))


def ensure(folder: Path, names: list[str]) -> Certificates:
    """Make what is missing, and a new server's certificate when it ends soon or lacks a name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    files = locate(folder)
    if not (files.authority.exists() and files.authority_key.exists()):
        _make_authority(files)
    wanted = list(dict.fromkeys([*ALWAYS, *names]))
    if not _still_good(files, wanted):
        _make_leaf(files, wanted)
    files.bundle.write_text(Path(certifi.where()).read_text() + files.authority.read_text())
    return files


def expiry(certificate: Path) -> dt.datetime:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _still_good(files: Certificates, names: list[str]) -> bool:
    if not (files.leaf.exists() and files.leaf_key.exists()):
        return False
    leaf = x509.load_pem_x509_certificate(files.leaf.read_bytes())
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    has = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        leaf.issuer == authority.subject
        and leaf.not_valid_after_utc - _now() > dt.timedelta(days=RENEW_DAYS)
        and all(_general_name(name) in has for name in names)
    )


def _make_authority(files: Certificates) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # The serial number in the name tells this authority from one of another workspace.
    name = _name(f"Local workspace authority {x509.random_serial_number() % 10**8:08d}")
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(files.authority_key, _private(key))
    _write(files.authority, certificate.public_bytes(serialization.Encoding.PEM))


def _make_leaf(files: Certificates, names: list[str]) -> None:
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    signer = serialization.load_pem_private_key(files.authority_key.read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    certificate = (
        _builder(_name("Local workspace"), authority.subject, key.public_key(), LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(issuer, critical=False)
        .sign(signer, hashes.SHA256())
    )
    _write(files.leaf_key, _private(key))
    _write(files.leaf, certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    start = _now() - dt.timedelta(hours=1)  # clocks of clients differ
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Private from the first moment, and never half a file."""
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(path)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)

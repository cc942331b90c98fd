"""Keys and certificates: an authority, and those whom it signs."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn, SupportsIndex

try:
    import cryptography as _cryptography  # noqa: F401 - whether it is there
except ImportError:
    raise ImportError(
        "certificates are made by cryptography: pip install '.[certs]' in a checkout of interaction"
    ) from None

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from interaction.roles import Member

_EARLIER = datetime.timedelta(hours=1)  # that a certificate is valid before it is made: clocks differ
_AUTHORITY_DAYS = 3652
Signing = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:  # a key does not belong in a log
        return "Pair(not shown)"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("Pair is not pickled: it holds a key; write it to files that are for their owner alone")


def authority(cluster: str) -> Pair:
    """A new authority, for ten years."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name(f"{cluster} authority")
    usage = _usage(digital_signature=False, key_cert_sign=True, crl_sign=True)
    made = (
        _builder(name, name, key.public_key(), _AUTHORITY_DAYS, None)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(made, key)


def identity(by: Pair, who: Member, hosts: Sequence[str], days: int) -> Pair:
    """A new key, and a certificate of the authority's that says who has it, and at which hosts. Raises ValueError as
    `signer()`."""
    issuer, signing = signer(by)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.UniformResourceIdentifier(who.uri), x509.DNSName(who.host), *map(_host, hosts)]
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # each side is both
    made = (
        _builder(_name(f"{who.role} {who.name}"[:64]), issuer.subject, key.public_key(), days, issuer)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, key_cert_sign=False, crl_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_identifier(issuer), critical=False)
        .sign(signing, hashes.SHA256())
    )
    return _pair(made, key)


def signer(by: Pair) -> tuple[x509.Certificate, Signing]:
    """An authority's certificate and key, read. Raises ValueError where nobody would take what they sign."""
    try:
        issuer = x509.load_pem_x509_certificate(by.certificate)
    except ValueError:
        raise ValueError("its certificate can't be read") from None
    key = _key(by.key)
    if _public(key.public_key()) != _public(issuer.public_key()):
        raise ValueError("its key is not the key of its certificate: put the two that belong together there")
    if not _may_sign(issuer):
        raise ValueError("its certificate is no authority's: whoever checks what it signs refuses that")
    end = issuer.not_valid_after_utc
    if end < datetime.datetime.now(datetime.timezone.utc):
        raise ValueError(f"its certificate has expired on {end:%Y-%m-%d}: make a new authority, by `init` elsewhere")
    return issuer, key


def _key(pem: bytes) -> Signing:
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:  # a password is needed
        raise ValueError(
            "its key is encrypted: write it without a password while it is needed, such as by "
            "`openssl pkey -in KEY -out NEW`, in a folder of yours alone"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("its key can't be read: it is no private key as PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("its key is of a kind that gRPC does not take: expected EC or RSA")
    return key


def _public(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _may_sign(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's key, as its certificate calls it: an authority of another make may do so in its own way."""
    try:
        named = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]  # EC, RSA
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def holds(bundle: bytes, certificate: bytes) -> bool:
    """Whether a certificate is among several, as PEM. Raises ValueError for what is none."""
    return x509.load_pem_x509_certificate(certificate) in x509.load_pem_x509_certificates(bundle)


def hosts_of(certificate: bytes, who: Member) -> list[str]:
    """The hosts that a certificate of `identity()` names."""
    found = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    names = found.value.get_values_for_type(x509.DNSName)
    addresses = map(str, found.value.get_values_for_type(x509.IPAddress))
    return [name for name in names if name != who.host] + list(addresses)


def end_of(certificate: bytes) -> datetime.datetime:
    """When a certificate ends."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    days: int,
    by: x509.Certificate | None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    end = now + datetime.timedelta(days=days)
    if by is not None:
        end = min(end, by.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(end)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, digital_signature: bool, key_cert_sign: bool, crl_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pair(made: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(made.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def unique(hosts: Iterable[str]) -> list[str]:
    """Each once, in their order."""
    return list(dict.fromkeys(hosts))

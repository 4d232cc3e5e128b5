"""A small certificate authority for one cluster: every certificate and key that its components need."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
# The certificates must be valid even if a clock is a little behind.
BACKDATED = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Identity:
    """The subject of a certificate. Kubernetes reads the common name as the user, and the organizations as groups.

    With `hosts` (DNS names and IP addresses) it is a serving certificate, otherwise a client certificate.
    """

    name: str
    common_name: str
    organizations: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


ADMIN = Identity("admin", "kubernetes-admin", ("system:masters",))
CONTROLLER_MANAGER = Identity("controller-manager", "system:kube-controller-manager")
SCHEDULER = Identity("scheduler", "system:kube-scheduler")
PROXY = Identity("proxy", "system:kube-proxy")
POLICIES = Identity("policies", "kube-router")
REGISTRY = "registry"
# The API server's client certificate for kubelets (logs, exec). A ClusterRoleBinding gives it its rights.
KUBELET_CLIENT = Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client")


def apiserver(hosts: Sequence[str]) -> Identity:
    """The API server's serving certificate, for these hosts and the names that pods use."""
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    return Identity("apiserver", "kube-apiserver", hosts=("localhost", "127.0.0.1", *service, *hosts))


def kubelet(node: str) -> Identity:
    """The kubelet as a client of the API server, in the form that the Node authorizer knows."""
    return Identity("kubelet", f"system:node:{node}", ("system:nodes",))


def kubelet_serving(node: str, address: str) -> Identity:
    """The kubelet's own serving certificate."""
    return Identity("kubelet-serving", f"system:node:{node}", ("system:nodes",), hosts=(node, address))


def registry(address: str) -> Identity:
    """The serving certificate of a registry at this address."""
    return Identity(REGISTRY, REGISTRY, hosts=(address,))


class Pki:
    """The PEM files of a directory. Keys are readable by their owner only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def ca(self) -> Path:
        return self.certificate("ca")

    @property
    def service_account_key(self) -> Path:
        return self.key("service-account")

    @property
    def service_account_public(self) -> Path:
        return self.directory / "service-account.pub"

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def create(self, identities: Sequence[Identity]) -> None:
        """Make the directory with a new authority, a key pair for service-account tokens, and these certificates."""
        self.directory.mkdir(mode=0o700, parents=True)
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = _authority(authority_key)
        self._write("ca", authority, authority_key)
        tokens = ec.generate_private_key(ec.SECP256R1())
        _write_private(self.service_account_key, tokens)
        self.service_account_public.write_bytes(
            tokens.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        for identity in identities:
            key = ec.generate_private_key(ec.SECP256R1())
            self._write(identity.name, _certificate(identity, key, authority, authority_key), key)

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate(name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_private(self.key(name), key)


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local-cluster-ca")])
    return (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    identity: Identity,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.organizations),
            x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name),
        ]
    )
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if identity.hosts else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(subject, authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    if identity.hosts:
        names = x509.SubjectAlternativeName([_host(host) for host in identity.hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )

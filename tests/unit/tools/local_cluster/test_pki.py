import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from local_cluster import pki
from local_cluster.pki import Pki

IDENTITIES = [
    pki.apiserver(["198.18.0.2", "10.96.0.1"]),
    pki.ADMIN,
    pki.kubelet("node0"),
    pki.kubelet_serving("node0", "198.18.0.2"),
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    made = Pki(tmp_path_factory.mktemp("cluster") / "pki")
    made.create(IDENTITIES)
    return made


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def verifier(certificates: Pki) -> PolicyBuilder:
    return PolicyBuilder().store(Store([load(certificates.ca)])).time(datetime.datetime.now(datetime.UTC))


@pytest.mark.parametrize("host", ["127.0.0.1", "198.18.0.2", "10.96.0.1"])
def test_the_api_server_is_known_by_its_addresses(certificates: Pki, host: str) -> None:
    name = x509.IPAddress(ipaddress.ip_address(host))
    verifier(certificates).build_server_verifier(name).verify(load(certificates.certificate("apiserver")), [])


@pytest.mark.parametrize("host", ["localhost", "kubernetes", "kubernetes.default.svc.cluster.local"])
def test_the_api_server_is_known_by_its_names(certificates: Pki, host: str) -> None:
    name = x509.DNSName(host)
    verifier(certificates).build_server_verifier(name).verify(load(certificates.certificate("apiserver")), [])


def test_a_server_is_not_known_by_another_name(certificates: Pki) -> None:
    verify = verifier(certificates).build_server_verifier(x509.DNSName("example.org")).verify
    with pytest.raises(VerificationError):
        verify(load(certificates.certificate("apiserver")), [])


def test_a_serving_certificate_is_no_client_certificate(certificates: Pki) -> None:
    verify = verifier(certificates).build_client_verifier().verify
    with pytest.raises(VerificationError):
        verify(load(certificates.certificate("kubelet-serving")), [])


def test_another_authority_is_not_trusted(certificates: Pki, tmp_path: Path) -> None:
    other = Pki(tmp_path / "pki")
    other.create([pki.apiserver([])])
    verify = verifier(certificates).build_server_verifier(x509.DNSName("localhost")).verify
    with pytest.raises(VerificationError):
        verify(load(other.certificate("apiserver")), [])


@pytest.mark.parametrize(
    ("name", "user", "groups"),
    [("admin", "kubernetes-admin", ["system:masters"]), ("kubelet", "system:node:node0", ["system:nodes"])],
)
def test_kubernetes_reads_user_and_groups_from_the_subject(
    certificates: Pki, name: str, user: str, groups: list[str]
) -> None:
    subject = load(certificates.certificate(name)).subject
    assert [entry.value for entry in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [user]
    assert [entry.value for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == groups


def test_keys_can_be_read_by_their_owner_only(certificates: Pki) -> None:
    keys = sorted(certificates.directory.glob("*.key"))
    assert len(keys) == len(IDENTITIES) + 2  # the authority's and the service accounts'
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert certificates.directory.stat().st_mode & 0o777 == 0o700


def test_every_certificate_fits_its_key(certificates: Pki) -> None:
    for name in ("ca", *(identity.name for identity in IDENTITIES)):
        key = serialization.load_pem_private_key(certificates.key(name).read_bytes(), None)
        assert key.public_key() == load(certificates.certificate(name)).public_key()
    tokens = serialization.load_pem_private_key(certificates.service_account_key.read_bytes(), None)
    public = serialization.load_pem_public_key(certificates.service_account_public.read_bytes())
    assert tokens.public_key() == public

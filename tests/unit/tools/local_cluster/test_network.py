"""The link to the host, which the kernel takes away as well."""

import pytest

from local_cluster import network
from local_cluster.errors import ClusterError


def test_a_link_that_goes_by_itself_meanwhile_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "HOST_LINK", "no-such-link")
    seen = iter([True, False])
    monkeypatch.setattr(network, "link_exists", lambda: next(seen))
    network.delete_link()
    assert next(seen, None) is None


def test_one_that_stays_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "HOST_LINK", "no-such-link")
    monkeypatch.setattr(network, "link_exists", lambda: True)
    with pytest.raises(ClusterError, match="no-such-link"):
        network.delete_link()

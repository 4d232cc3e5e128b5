"""What a candidate reads from a Lease that another one has written."""

from datetime import UTC, datetime

import pytest

from sandbox_common.kube import KubeObject
from sandbox_operator.leader import lease
from sandbox_operator.leader.service_account import ServiceAccount

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOLDER = ServiceAccount("system:serviceaccount:team:operator", "uid-1")


def stored(written: KubeObject) -> KubeObject:
    written["metadata"]["resourceVersion"] = "7"
    return written


@pytest.mark.parametrize(
    ("reader", "holder"),
    [
        (HOLDER, "one"),
        (ServiceAccount(HOLDER.name, "uid-2"), ""),
        (ServiceAccount("system:serviceaccount:team:another", "uid-2"), "one"),
        (ServiceAccount(HOLDER.name), "one"),
        (ServiceAccount("admin"), "one"),
        (ServiceAccount(), "one"),
    ],
)
def test_a_holder_whose_account_was_replaced_holds_nothing(reader: ServiceAccount, holder: str) -> None:
    made = stored(lease.new("lease", "one", HOLDER, 8, NOW))
    assert lease.decode(made, reader).holder == holder
    taken = lease.hold(lease.decode(made, HOLDER), "one", HOLDER, 8, NOW)
    assert lease.decode(stored(taken), reader).holder == holder


def test_the_account_is_that_of_one_holder_alone() -> None:
    made = stored(lease.new("lease", "one", HOLDER, 8, NOW))
    made["spec"]["holderIdentity"] = "two"
    assert lease.decode(made, ServiceAccount(HOLDER.name, "uid-2")).holder == "two"


def test_a_lease_of_an_operator_that_names_no_account_is_held() -> None:
    made = stored(lease.new("lease", "one", ServiceAccount(), 8, NOW))
    assert lease.decode(made, HOLDER).holder == "one"
    del made["metadata"]["annotations"]
    assert lease.decode(made, HOLDER).holder == "one"

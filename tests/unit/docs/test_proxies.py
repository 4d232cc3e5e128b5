"""The configurations of proxies in `examples/proxies`.

`tests/control_plane/gateway/test_proxies.py` and `tests/long/test_traefik.py` run them.
"""

import re
from pathlib import Path

import pytest

from local_cluster.paths import ROOT
from sandbox_gateway.proxy.context import Bounds

FILES = sorted((ROOT / "examples" / "proxies").iterdir())
HOUR = 3600

_UNITS = {"s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"^\s*(?:timeout )?([\w-]+):?\s+(\d+)([smh])\b", re.MULTILINE)
_OF_SILENCE = {
    "nginx.conf": {"proxy_read_timeout", "proxy_send_timeout", "send_timeout"},
    "nginx-passthrough.conf": {"proxy_timeout"},
    "haproxy.cfg": {"client", "server", "tunnel"},
    "haproxy-passthrough.cfg": {"client", "server"},
    "traefik.yaml": {"readTimeout"},
}
"""What ends a connection on which nothing moves, or a request that takes long."""
_OTHERS = {
    *("proxy_connect_timeout", "connect", "client_body_timeout", "http-request"),
    *("keepalive_timeout", "http-keep-alive", "client-fin", "server-fin", "idleConnTimeout", "graceTimeOut"),
    *("clitcpka-idle", "clitcpka-intvl", "srvtcpka-idle", "srvtcpka-intvl"),
}
"""What is about connecting, bytes of a request, connections without one, their end, and the probes of the kernel."""


def times(file: Path) -> dict[str, int]:
    """Seconds by directive."""
    text = re.sub(r"#.*", "", file.read_text())
    return {name: int(number) * _UNITS[unit] for name, number, unit in _TIME.findall(text)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_times_of_silence_are_long(file: Path) -> None:
    found, silence = times(file), _OF_SILENCE[file.name]
    assert silence <= found.keys()
    assert found.keys() - silence <= _OTHERS
    assert min(found[name] for name in silence) > HOUR


def test_nginx_closes_an_idle_connection_before_the_gateway_does() -> None:
    """And an upload that stands still may do so for longer than a busy client pauses."""
    found = times(ROOT / "examples" / "proxies" / "nginx.conf")
    assert found["keepalive_timeout"] < Bounds().idle_seconds
    assert found["client_body_timeout"] >= 120


def test_traefik_closes_an_idle_connection_before_the_gateway_does() -> None:
    assert times(ROOT / "examples" / "proxies" / "traefik.yaml")["idleConnTimeout"] < Bounds().idle_seconds


def test_the_page_links_to_each_file() -> None:
    page = (ROOT / "docs" / "tls-and-ingress.md").read_text()
    assert {file.name for file in FILES} == _OF_SILENCE.keys()
    assert [file.name for file in FILES if f"(../examples/proxies/{file.name})" not in page] == []

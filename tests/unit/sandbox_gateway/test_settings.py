"""Settings from the environment, and what they refuse."""

import pytest
from pydantic import ValidationError

from sandbox_gateway.settings import Settings


def test_defaults_suit_the_chart() -> None:
    settings = Settings()
    assert (settings.listen_port, settings.health_port, settings.base_domain) == (8080, 8081, "")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_GATEWAY_BASE_DOMAIN", "Sandboxes.Example.COM.")
    monkeypatch.setenv("SANDBOX_GATEWAY_PUBLIC_URL", "https://gw.example.com:8443/")
    monkeypatch.setenv("SANDBOX_GATEWAY_START_HOLD_SECONDS", "2.5")
    settings = Settings()
    assert settings.base_domain == "sandboxes.example.com"
    assert settings.public_url == "https://gw.example.com:8443"
    assert settings.start_hold_seconds == 2.5


def test_registries_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().image_registries == ()
    monkeypatch.setenv("SANDBOX_GATEWAY_IMAGE_REGISTRIES", "GHCR.io, index.docker.io,registry.test:5000,")
    assert Settings().image_registries == ("ghcr.io", "docker.io", "registry.test:5000")


def test_patterns_of_images_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().allowed_images == ()
    monkeypatch.setenv("SANDBOX_GATEWAY_ALLOWED_IMAGES", "ghcr.io/openhands/*, docker.io/a:1,")
    assert Settings().allowed_images == ("ghcr.io/openhands/*", "docker.io/a:1")


def test_trusted_proxies_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().trusted_proxies == ()
    monkeypatch.setenv("SANDBOX_GATEWAY_TRUSTED_PROXIES", "10.0.0.0/24, fd00:3::/64,::ffff:192.0.2.0/120,203.0.113.7,")
    told = [str(network) for network in Settings().trusted_proxies]
    assert told == ["10.0.0.0/24", "fd00:3::/64", "192.0.2.0/24", "203.0.113.7/32"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_images", "*"),
        ("allowed_images", "ghcr.io/a,python:3"),
        ("allowed_images", ["ghcr.io/a "]),
        ("image_registries", "https://ghcr.io"),
        ("image_registries", "ghcr.io/openhands"),
        ("image_registries", "ghcr.io docker.io"),
        ("image_registries", "*.io"),
        ("trusted_proxies", "10.0.0.1/8"),
        ("trusted_proxies", "10.0.0.0/24 10.0.1.0/24"),
        ("trusted_proxies", "10.0.0.0/24,300.0.0.0/8"),
        ("trusted_proxies", "fd00::/129"),
        ("trusted_proxies", "proxy.example.com"),
        ("trusted_proxies", "*"),
        ("trusted_proxies", "0.0.0.0/0"),
        ("trusted_proxies", "::/0"),
        ("trusted_proxies", "::ffff:0:0/96"),
        ("base_domain", "http://x"),
        ("base_domain", "x:80"),
        ("base_domain", "*.x"),
        ("base_domain", "-x"),
        ("public_url", "x"),
        ("public_url", "ws://x"),
        ("public_url", "http://x/path"),
        ("public_url", "http://user@x"),
        ("public_url", "http://x:port"),
        ("public_url", "http://"),
        ("listen_port", 70000),
        ("start_hold_seconds", 15),
        ("poll_hold_seconds", -1),
        ("namespace", ""),
        ("log_level", "LOUD"),
        ("requests_per_sandbox", 0),
        ("websockets_per_sandbox", 0),
        ("requests_per_minute", -1),
        ("workers", 0),
        ("workers", 65),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: value})


def test_workers_share_a_port_that_is_given() -> None:
    assert Settings.model_validate({"workers": 2}).workers == 2
    with pytest.raises(ValidationError, match="listen port"):
        Settings.model_validate({"workers": 2, "listen_port": 0})

"""Credentials of registries, as pull Secrets hold them (`.dockerconfigjson`). Pure."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pydantic import BaseModel, ValidationError

from sandbox_crds.image_references import Reference, registry_name


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a password of a registry."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of the header `Authorization`."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


class _Login(BaseModel):
    auth: str = ""
    username: str = ""
    password: str = ""


class _Config(BaseModel):
    auths: Mapping[str, _Login] = {}


def matching(config: bytes, image: Reference) -> list[Credentials]:
    """The credentials for this image, longest path first, as kubelets choose them; none if `config` is malformed.

    An entry is a host with its port, whose labels may have `*`, perhaps with a path that the repository begins with.
    """
    try:
        auths = _Config.model_validate_json(config).auths
    except ValidationError:
        return []
    found = [(name, login) for name, login in auths.items() if _matches(name, image)]
    ordered = sorted(found, key=lambda entry: len(entry[0]), reverse=True)
    return [credentials for _, login in ordered for credentials in _read(login)]


def _matches(name: str, image: Reference) -> bool:
    host, _, path = name.partition("://")[2 if "://" in name else 0].partition("/")
    for version in ("v1", "v2"):
        path = path.removeprefix(version) if path.strip("/") == version or path.startswith(f"{version}/") else path
    path = path.strip("/")
    try:
        pattern = host if "*" in host else registry_name(host)
    except ValueError:
        return False
    if path and image.repository != path and not image.repository.startswith(f"{path}/"):
        return False
    labels, wanted = image.registry.split("."), pattern.split(".")
    return len(labels) == len(wanted) and all(map(fnmatchcase, labels, wanted))


def _read(login: _Login) -> Iterator[Credentials]:
    user, password = login.username, login.password
    if login.auth:
        try:
            user, _, password = base64.b64decode(login.auth, validate=True).decode().partition(":")
        except ValueError:
            return
    if user and password:
        yield Credentials(user, password)

"""This machine's settings of certificates and package index, as secrets of a build.

Both engines mount a secret only while an instruction runs, so it gets into no image and no history.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
INDEX_VARIABLES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_INSECURE_HOST",
    "NPM_CONFIG_REGISTRY",
)


def secret_options(directory: Path, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The `--secret` options of a build, for the settings in this environment. Their files go into `directory`."""
    options: list[str] = []
    certificates = [environment[name] for name in CERTIFICATE_VARIABLES if environment.get(name)]
    if certificates and Path(certificates[0]).is_file():
        options.append(f"--secret=id=ca-certificates,src={certificates[0]}")
    exports = [f"export {name}={shlex.quote(environment[name])}\n" for name in INDEX_VARIABLES if environment.get(name)]
    if exports:
        file = directory / "build-env"
        file.touch(mode=0o600)
        file.write_text("".join(exports))
        options.append(f"--secret=id=build-env,src={file}")
    return options

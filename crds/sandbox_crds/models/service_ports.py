"""The ports of a sandbox's services, by the names that OpenHands gives them."""

from typing import Annotated

from pydantic import Field

from sandbox_crds.models.base import Model

Port = Annotated[int, Field(ge=0, le=65535)]


class ServicePorts(Model):
    """Ports of VSCode and of a sandbox's web servers; 0: not reachable."""

    vscode: Port | None = Field(default=None, description="VSCode. Default: 60001.")
    work_1: Port | None = Field(default=None, alias="work-1", description="Web server. Default: 12000.")
    work_2: Port | None = Field(default=None, alias="work-2", description="Web server. Default: 12001.")

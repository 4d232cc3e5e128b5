"""A10: what the V0 client's image builder asks. /build is not tested: no current client builds through this API."""

from conformance.api import RuntimeApi, as_object
from conformance.contract import Client, recommended, required
from conformance.target import Target


@required(Client.V0)
def test_registry_prefix(api: RuntimeApi) -> None:
    """V0 `RemoteRuntime`: registry_prefix goes before the names of images that it builds."""
    prefix = api.get("/registry_prefix").fields.get("registry_prefix")
    assert isinstance(prefix, str), f"registry_prefix is {prefix!r}"


@required(Client.V0)
def test_image_exists(api: RuntimeApi, target: Target) -> None:
    """V0 `RemoteRuntimeBuilder.image_exists`: exists; if true, the image's upload_time and image_size_bytes."""
    answer = api.get("/image_exists", params=[("image", target.image)]).fields
    assert isinstance(answer.get("exists"), bool), f"exists is {answer.get('exists')!r}"
    if answer["exists"]:
        image = as_object(answer.get("image"), "image")
        assert {"upload_time", "image_size_bytes"} <= set(image)


@recommended(Client.V0)
def test_no_image_is_refused(api: RuntimeApi) -> None:
    """V0: a request without the parameter is a fault of the client, and must not look like one of the server."""
    answer = api.get("/image_exists")
    assert 400 <= answer.status < 500, answer

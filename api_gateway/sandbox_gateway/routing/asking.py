"""Whether a pod has an address, for the data plane's proofs."""

from sandbox_common.kube import FAILURES
from sandbox_common.pod_identity import PodIdentities
from sandbox_gateway.proxy.directory import PodAddress
from sandbox_gateway.proxy.proofs import Ask, UnprovenError


def asking(pods: PodIdentities) -> Ask:
    """Asks the API server."""

    async def ask(address: PodAddress) -> str:
        try:
            return await pods.denial(address.pod, address.uid, address.ip)
        except FAILURES as error:
            raise UnprovenError(str(error) or type(error).__name__) from error

    return ask

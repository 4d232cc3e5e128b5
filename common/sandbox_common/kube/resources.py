"""The Kubernetes resources that operator and gateway use, and their paths."""

from dataclasses import dataclass

from sandbox_crds.api import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the Kubernetes API. If it is not `namespaced`, namespaces are ignored."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    metadata_only: bool = False
    """Whether lists and watches read only the metadata of objects."""

    def accepts(self, *, a_list: bool) -> str:
        """The media type of an answer with a list, or with single objects."""
        if not self.metadata_only:
            return "application/json"
        return f"application/json;as=PartialObjectMetadata{'List' if a_list else ''};g=meta.k8s.io;v=v1"

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """URL path of the collection, of one object, or of its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"namespaces/{namespace}" if self.namespaced else ""
        return "/".join(part for part in (root, within, self.plural, name, subresource) if part)


NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
SECRETS_METADATA = Resource("", "v1", "secrets", "Secret", metadata_only=True)
SERVICES = Resource("", "v1", "services", "Service")
VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
SANDBOXES = Resource(GROUP, VERSION, "sandboxes", "Sandbox")
SANDBOX_CLASSES = Resource(GROUP, VERSION, "sandboxclasses", "SandboxClass")
SANDBOX_IMAGES = Resource(GROUP, VERSION, "sandboximages", "SandboxImages")
SANDBOX_POOLS = Resource(GROUP, VERSION, "sandboxpools", "SandboxPool")
SANDBOX_USAGES = Resource(GROUP, VERSION, "sandboxusages", "SandboxUsage")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")

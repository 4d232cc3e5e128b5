"""Names of the API group, and the labels that the project puts on objects."""

GROUP = "sandbox.openhands.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "openhands"

SANDBOX_LABEL = f"{GROUP}/sandbox"
"""On everything that belongs to one sandbox; the value is the Sandbox's name. On a warm pod it is empty until a sandbox
claims the pod, so that policies for sandboxes' pods apply from the beginning."""

POOL_LABEL = f"{GROUP}/pool"
"""On pods that a SandboxPool has made, claimed or not; the value is the SandboxPool's name."""

IMAGES_LABEL = f"{GROUP}/images"
"""On pods that keep images on nodes; the value is the name of their SandboxImages. They are no sandboxes' pods."""

EGRESS_LABEL = f"{GROUP}/egress"
"""On pods of sandboxes, warm ones too; the value is their class's egress profile. NetworkPolicies select them by it."""

API_KEY_LABEL = f"{GROUP}/api-key"
"""On Secrets that hold the hash of one gateway API key; the value is `"true"`."""

PULL_SECRET_LABEL = f"{GROUP}/pull-secret-of"
"""On Secrets of type `kubernetes.io/dockerconfigjson` with which images of one owner's sandboxes are pulled; the value
is `names.owner_label` of that owner."""

TRACE_PARENT_ANNOTATION = f"{GROUP}/traceparent"
"""On a Sandbox whose start is traced: the gateway's span of it, in the form of W3C's `traceparent`."""

TRACED_GENERATION_ANNOTATION = f"{GROUP}/traced-generation"
"""The generation with which the traced start began. Without it, the trace is of the first start."""

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGER = "openhands-sandbox"

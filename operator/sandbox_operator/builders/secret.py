"""The Secret with a sandbox's keys."""

from sandbox_common.environment import SECRET_KEY, SESSION_KEY
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import SECRETS
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.environment import defaults
from sandbox_operator.builders.owned import name_of, owned
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION


def build_secret(sandbox: Sandbox, class_: SandboxClass, keys: MasterKeys, key_id: str) -> KubeObject:
    """Session key, key for secrets at rest and default environment. Raises KeyError if the id's master key is gone."""
    secret = owned(SECRETS, sandbox, name_of(sandbox), annotations={KEY_ID_ANNOTATION: key_id})
    # Kubelets do not watch an immutable Secret.
    secret["immutable"] = True
    secret["stringData"] = {
        **defaults(class_),
        SESSION_KEY: keys.session_key(key_id),
        SECRET_KEY: keys.secret_key(key_id),
    }
    return secret

"""Which keys are in the Secret of a pod."""

import base64

from kubectl_ohsb.sandboxes.keys import keys_in


def test_keys_are_those_of_the_pods_secret() -> None:
    data = {"OH_SESSION_API_KEYS_0": "a-key", "OH_SECRET_KEY": "another", "LOG_LEVEL": "debug"}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    assert keys_in({"data": encoded}) == {"OH_SESSION_API_KEYS_0": "a-key", "OH_SECRET_KEY": "another"}
    assert keys_in({"data": {"OH_SECRET_KEY": "no base64!"}}) == {}
    assert keys_in({}) == {}

"""How large an image is, which the operator asks a replica of the gateway: `GET /internal/image-size`.

Only the gateway may ask registries. Asked with `Authorization: Bearer <internal token>` and the query `image`, `owner`
and `class`: those of the sandbox that needs it.
"""

import orjson

from sandbox_crds.models.sandbox import LARGEST_IMAGE

PATH = "/internal/image-size"
ANSWER_SECONDS = 2.5
"""A replica that does not know it by then answers that it is unknown, and goes on asking the registry."""


def encode(size: int) -> bytes:
    """Bytes, compressed, as JSON; 0: unknown."""
    return orjson.dumps({"bytes": size})


def decode(body: bytes) -> int:
    """From JSON. Raises ValueError."""
    match orjson.loads(body):
        case {"bytes": int(size)} if 0 <= size <= LARGEST_IMAGE:
            return size
        case _:
            raise ValueError("not the size of an image")

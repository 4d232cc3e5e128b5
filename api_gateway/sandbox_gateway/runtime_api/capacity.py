"""The endpoints for pools and limits. The hosted Runtime API has none."""

from fastapi import APIRouter

from sandbox_gateway.contract.responses import LimitsResponse, PoolsResponse
from sandbox_gateway.runtime_api import examples
from sandbox_gateway.runtime_api.openapi import answers as described
from sandbox_gateway.runtime_api.routes import Audited, Chosen, Key
from sandbox_gateway.sandboxes.capacity import Capacity
from sandbox_gateway.sandboxes.permissions import Permissions


def capacity_routes(capacity: Capacity, permissions: Permissions) -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["capacity"])

    @router.get("/pools", summary="Look at the pools", responses=described(403, pools=examples.POOLS))
    async def pools(key: Key, reach: Chosen, noted: Audited) -> PoolsResponse:
        """The pools of the classes that the API key allows, and how the owner's sandboxes have started.

        Hits and misses are those of sandboxes that still exist. With the permission `admin`: all pools, and the
        sandboxes of all owners.
        """
        noted.sandbox_owner = reach
        return await capacity.pools(reach, None if key.policy.admin else permissions.class_names(key.policy))

    @router.get("/limits", summary="Say what is left of the limits", responses=described(403, limits=examples.LIMITS))
    async def limits(key: Key, reach: Chosen, noted: Audited) -> LimitsResponse:
        """The limits of the API key's owner, what uses them, and what is left.

        With the permission `admin`: also of the owner in `owner`.
        """
        owner = key.owner if reach is None else reach
        noted.sandbox_owner = owner
        return capacity.limits(owner)

    return router

"""Calls that outlast a restart of the service."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

Response = TypeVar("Response")

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0


def is_passing(error: grpc.RpcError) -> bool:
    """Whether the same call may well succeed in a moment."""
    return error.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )


async def until_answered(
    call: Callable[[], Awaitable[Response]],
    goes_on: Callable[[], bool] = lambda: True,
) -> Response:
    """Makes a call, and the very same one again while the service is away or full and `goes_on` says so.

    Only for calls that are safe to repeat: reads, and mutations with a key, an id, a token or a `request_id`. Each
    needs a timeout, or one try could wait for ever. Raises the `grpc.RpcError` of the last try.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await call()
        except grpc.RpcError as error:
            if not is_passing(error) or not goes_on():
                raise
        # At random, so that workers that met the same restart do not come back together.
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

"""Rate limits of routes, as dependencies: they are counted before the route's transaction opens."""

from typing import Any

from fastapi import Depends

from chally import clock, ratelimit
from chally.http import CurrentActor


def per_account(name: str, *, body: Any = None) -> Any:
    """A dependency that counts each call against a limit of the caller's account. Failed calls count, too.

    `body`: the type of the route's parameter `body`. FastAPI calls a dependency only if its parameters are valid, so a
    body that is refused uses up nothing.
    """

    async def consume(actor: CurrentActor) -> None:
        ratelimit.consume(clock.now(), actor, **{name: str(actor.user_id)})

    if body is None:
        return Depends(consume)

    async def consume_for(actor: CurrentActor, body: Any) -> None:
        await consume(actor)

    consume_for.__annotations__["body"] = body
    return Depends(consume_for)

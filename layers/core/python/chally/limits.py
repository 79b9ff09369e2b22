"""Rate limits of routes, as dependencies: they are counted before the route's transaction opens."""

from typing import Any, get_args

from fastapi import Depends

from chally import clock, ratelimit
from chally.http import CurrentActor


def per_account(name: str, *, body: Any = None) -> Any:
    """A dependency that counts each call against a limit of the caller's account. Failed calls count, too.

    `body`: the type of the route's parameter `body`, with None if it is optional. FastAPI calls a dependency only if
    its parameters are valid, so a body that is refused uses up nothing.
    """

    async def consume(actor: CurrentActor) -> None:
        ratelimit.consume(clock.now(), actor, **{name: str(actor.user_id)})

    if body is None:
        return Depends(consume)

    async def consume_for(actor: CurrentActor, body: Any) -> None:
        await consume(actor)

    consume_for.__annotations__["body"] = body
    if type(None) in get_args(body):
        consume_for.__defaults__ = (None,)
    return Depends(consume_for)

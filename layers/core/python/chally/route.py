"""What happens around every route: parameters and bodies are read within bounds, and keyed responses are stored."""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, Response

from chally import body, idempotency
from chally.errors import FieldError, InvalidRequest, pointer
from chally.fields import INVALID_ID, is_id, is_whole
from chally.methods import Methods
from chally.problems import MAX_ERRORS, MethodNotAllowed

STORED_HEADERS = ("content-type", "location")  # of a response that is stored under an idempotency key


class Route(APIRoute):
    """Refuses unknown query parameters and ids in other forms than ours, parses the body, and stores the response to
    a request with an idempotency key.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        parameters = _Parameters.of(self)

        async def handle_and_store(request: Request) -> Response:
            parameters.check(request)
            if self.body_field is not None:
                request = _ReadRequest(request.scope, request.receive)
                await request.read()
            response = await handle(request)
            # the dependencies' transaction is still open
            keyed_request: idempotency.KeyedRequest | None = getattr(request.state, "keyed_request", None)
            if keyed_request is not None:
                headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
                idempotency.store_response(
                    keyed_request, status=response.status_code, headers=headers, body=bytes(response.body)
                )
            return response

        return handle_and_store


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What a route reads from its path and query: the names of its ids, of its query, and of the numbers in that."""

    ids: list[str]
    query: list[str]
    numbers: list[str]
    takes_any: bool

    @classmethod
    def of(cls, route: APIRoute) -> Self:
        parts = [*_flat(route.dependant)]
        path = [field for part in parts for field in part.path_params]
        query = [field for part in parts for field in part.query_params]
        return cls(
            ids=sorted({field.alias for field in path if field.field_info.annotation is UUID}),
            query=sorted({field.alias for field in query}),
            numbers=sorted({field.alias for field in query if field.field_info.annotation is int}),
            # mail programs and trackers add parameters to links, and a page ignores them
            takes_any=route.response_class is HTMLResponse,
        )

    def check(self, request: Request) -> None:
        """Raise `InvalidRequest`, or `MethodNotAllowed` where a word such as `mine` stands in the place of an id."""
        wrong_ids = [name for name in self.ids if not is_id(request.path_params[name])]
        methods: Methods = request.app.state.methods
        if wrong_ids and methods.is_fixed(request.url.path):
            raise MethodNotAllowed(headers={"Allow": methods.of(request.url.path)})
        sent = request.query_params
        errors = [
            *([] if self.takes_any else _unknown(request, self.query)),
            *(FieldError(pointer=pointer("path", name), message=INVALID_ID) for name in wrong_ids),
            *(
                FieldError(pointer=pointer("query", name), message="Must be a whole number.")
                for name in self.numbers
                if name in sent and not is_whole(sent[name])
            ),
        ]
        if errors:
            raise InvalidRequest(errors=errors)


class _ReadRequest(Request):
    """A request whose JSON is parsed by `chally.body`, before FastAPI asks for it."""

    _parsed: Any = None

    async def read(self) -> None:
        raw = await self.body()
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if raw and (kind.endswith(("/json", "+json")) or "content-encoding" in self.headers):
            self._parsed = body.parse(raw, encoding=self.headers.get("content-encoding", ""))

    async def json(self) -> Any:
        return self._parsed


def _flat(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _flat(inner)


def _unknown(request: Request, allowed: list[str]) -> list[FieldError]:
    advice = f"Allowed here: {', '.join(allowed)}." if allowed else "This call has none."
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in allowed]
    return [
        FieldError(pointer=pointer("query", name), message=f"Unknown parameter. {advice}")
        for name in unknown[:MAX_ERRORS]
    ]

"""HTTP of challenges: make one, find it, join it, see its windows and standings. A noun a file."""

from challenges import queries
from challenges.routes import challenges, lists, participants, standings, timezone, windows
from chally import http

router = http.router("challenges")
# lists first: /mine is not an id
for part in (lists, challenges, participants, windows, standings, timezone):
    router.include_router(part.router)

handler = http.lambda_handler(router, queries.CONSTRAINTS)

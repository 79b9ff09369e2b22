"""HTTP of challenges: create, find, join, windows and standings. One noun per file."""

from challenges import queries
from challenges.routes import challenges, lists, participants, standings, windows
from chally import http

router = http.router("challenges")
# lists first, so that /mine is not taken for an id
for part in (lists, challenges, participants, windows, standings):
    router.include_router(part.router)

handler = http.lambda_handler(router, queries.CONSTRAINTS)

"""HTTP of an account in all contexts: change its profile, export its data, delete it. One file per noun."""

from chally import http
from privacy import queries
from privacy.routes import deletion, exports, profile, timezone, unsubscribe

router = http.router("privacy")
for part in (profile, timezone, exports, deletion, unsubscribe):
    router.include_router(part.router)

handler = http.lambda_handler(router, queries.CONSTRAINTS)

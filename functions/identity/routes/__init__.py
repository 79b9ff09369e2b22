"""HTTP of identity: accounts and how to sign in to them. One file per noun."""

from chally import http
from identity import queries
from identity.routes import auth, links, me, passkeys, second_factors

router = http.router("identity")
for part in (auth, links, second_factors, passkeys, me):
    router.include_router(part.router)

# the functions of `privacy` serve these
handler = http.lambda_handler(router, queries.CONSTRAINTS, elsewhere={"/v1/me": ("DELETE", "PATCH")})

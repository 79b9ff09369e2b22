"""HTTP of proofs, a noun a file; all under one handler."""

from chally import http
from proofs.routes import ask, decisions, read

router = http.router("proofs")
for part in (ask, read, decisions):
    router.include_router(part.router)

handler = http.lambda_handler(router)

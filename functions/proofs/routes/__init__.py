"""HTTP of proofs, a noun a file; all under one handler."""

from chally import http
from proofs.routes import ask, read

router = http.router("proofs")
for part in (ask, read):
    router.include_router(part.router)

handler = http.lambda_handler(router)

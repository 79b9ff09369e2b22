"""HTTP of proofs, a noun a file; all under one handler."""

from chally import http
from proofs.routes import ask, decisions, read, receipts

router = http.router("proofs")
for part in (ask, read, receipts, decisions):
    router.include_router(part.router)

handler = http.lambda_handler(router)

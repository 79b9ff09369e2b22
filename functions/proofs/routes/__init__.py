"""HTTP of proofs: one router a file, one handler for all."""

from chally import http
from proofs.routes import decisions, read, receipts, submissions

router = http.router("proofs")
for part in (submissions, read, receipts, decisions):
    router.include_router(part.router)

handler = http.lambda_handler(router)

"""Pure decisions of privacy: how long exports live, and how they are built."""

from datetime import timedelta

# How long an export can be downloaded (storage deletes it then: see infra/storage.py), and how long a link is valid.
EXPORT_LIFE = timedelta(days=7)
EXPORT_LINK_LIFE = timedelta(minutes=10)
# How long one run may build an export (a function lives for at most 15 minutes), and how many runs may try.
EXPORT_LEASE = timedelta(minutes=16)
EXPORT_ATTEMPTS = 5
# How long an export's row is kept after it expired or failed for good.
EXPORTS_KEPT = timedelta(days=1)
EXPORTS_PREFIX = "exports/"  # of their keys in the bucket

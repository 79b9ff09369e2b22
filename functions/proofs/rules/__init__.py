"""What proofs decide, a noun a file. Pure: no database, no clock, no settings."""

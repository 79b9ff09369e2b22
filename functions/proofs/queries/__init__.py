"""All SQL of proofs, a noun a file. One function, one statement."""

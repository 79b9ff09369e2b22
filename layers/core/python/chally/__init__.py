"""What every function of Chally shares. It imports nothing of the contexts above it."""

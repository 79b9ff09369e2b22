"""What every function of Chally shares. It imports nothing from the contexts above it."""

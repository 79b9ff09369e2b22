"""What developers and operators run: `python -m infra.tools <command>`, most of it through `make`."""

"""The `cogenesis` command: one file per group, wired together in `main.py`."""

"""The commands of `characterize`, one file each; `cli.py` registers them."""

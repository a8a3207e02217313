"""Measurements that anyone can rerun: see README.md. Run them from the root: `python -m benchmarks.NAME`."""

"""Measurements. `make bench` runs the gateway's; results are kept in RESULTS.md."""

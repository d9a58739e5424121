"""What is measured, and how: see `python -m benchmarks --help`."""

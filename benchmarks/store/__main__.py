"""Runs the benchmark as `python -m benchmarks.store`."""

from benchmarks.store.run import main

main()

"""Benchmarks: commands that measure the performance figures of the documentation."""

"""Metrics of all processes in the text format of Prometheus."""

"""Traces by OpenTelemetry. Only this package imports it, and is imported only if traces are recorded."""

"""The demo market: its seed data, its banner, its simulated visitors."""

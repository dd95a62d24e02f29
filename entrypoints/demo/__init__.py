"""The demo market: seed data, banner and simulated visitors."""

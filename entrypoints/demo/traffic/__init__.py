"""Simulated visitors of the demo market, over HTTP. Their demand is known, so the best prices are known too."""

"""Pricing experiments: what a policy earns, compared with the seller's own prices, with a confidence interval."""

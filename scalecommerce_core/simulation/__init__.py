"""Markets with known demand, in which policies compete on the same worlds."""

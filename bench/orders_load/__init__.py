"""The parts of `python -m bench.orders`: a market, the two sides that are loaded, and what is read off the database."""

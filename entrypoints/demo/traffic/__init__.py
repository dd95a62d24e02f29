"""Visitors of the demo market: real HTTP, with demand that is known, so that prices can be seen to find their best."""

"""Encoded responses held in memory, and the rules that say whether they are still valid."""

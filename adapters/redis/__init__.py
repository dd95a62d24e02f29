"""Adapters on Redis. Redis holds only data that may be lost."""

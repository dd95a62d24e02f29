"""Schemas that several resources share, and functions that build them."""

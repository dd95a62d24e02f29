"""Answers that are kept as bytes, and what says that they still hold."""

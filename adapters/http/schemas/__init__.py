"""JSON schemas shared by several resources."""

"""The pages, by section."""

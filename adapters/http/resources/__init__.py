"""One module per resource: its operations and their handlers."""

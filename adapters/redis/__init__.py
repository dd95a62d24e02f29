"""What the engine keeps in Redis: nothing that may not be lost."""

"""Resources: one class per module, with a handler method per operation and its declaration beside it."""

"""Calls of the synchronous core from asynchronous handlers: the batcher and the payment runner."""

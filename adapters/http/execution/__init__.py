"""How handlers reach the synchronous core: batching and payments in worker threads."""

"""Celery on Redis: one task is one call of the core. PostgreSQL is the queue; messages only say that there is work."""

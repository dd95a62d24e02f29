"""Celery on Redis: each task is one call of the core. PostgreSQL is the queue of work; messages carry no data."""

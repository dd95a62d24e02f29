"""Celery on Redis: each task is one call of the core. PostgreSQL is the queue of work; messages carry no data.

`schedule.MESSAGE_TTL` describes what happens to messages while Redis is away.
"""

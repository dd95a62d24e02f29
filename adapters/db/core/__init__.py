"""The base of the PostgreSQL adapter: engine, sessions, bulk statements, advisory locks, notifications."""

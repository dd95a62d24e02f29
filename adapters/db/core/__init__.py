"""What every part of the PostgreSQL adapter stands on: engine, sessions, statements, notifications."""

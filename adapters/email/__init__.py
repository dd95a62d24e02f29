"""Adapters of `ports.EmailSender`."""

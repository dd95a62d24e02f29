"""Sends webhooks to where strangers want them, and nowhere else than to the public internet."""

"""Sends webhooks to URLs that sellers choose, and connects to public internet addresses only."""

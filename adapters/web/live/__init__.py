"""Live figures: Server-Sent Events about products and orders, from the notifications of changes."""

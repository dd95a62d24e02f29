"""Pages for people: the shop, the dashboard of sellers and the back office, rendered on the server."""

"""What all pages stand on: sessions, forms, languages, templates, and the client of the HTTP API."""

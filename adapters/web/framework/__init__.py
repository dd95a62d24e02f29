"""What all sections share: sessions, forms, languages, templates, and the client of the HTTP API."""

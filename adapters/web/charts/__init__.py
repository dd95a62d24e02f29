"""Charts as inline SVG, drawn on the server, without scripts and inline styles. ADR 60 has the reasons."""

"""The HTTP layer on Starlette: routing, decoding, validation, negotiation, errors, OpenAPI. It knows no resource."""

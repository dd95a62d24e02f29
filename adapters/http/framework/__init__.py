"""The HTTP layer on Starlette: routing, decoding, validation, content negotiation, problems, OpenAPI.

It does not import any resource.
"""

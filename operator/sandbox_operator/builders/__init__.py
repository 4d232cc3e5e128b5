"""Builds the objects of a sandbox, as dicts for the API server. Pure."""

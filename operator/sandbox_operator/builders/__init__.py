"""The objects that a sandbox consists of, as dicts for the API server. Pure."""

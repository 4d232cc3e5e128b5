"""Suspension of sandboxes that get no requests and do no work."""

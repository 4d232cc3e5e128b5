"""Suspension of sandboxes that nobody uses and in which nothing runs."""

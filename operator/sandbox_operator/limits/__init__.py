"""Limits of owners: which sandboxes may start now, and which wait in a queue."""

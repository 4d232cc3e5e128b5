"""Measurements: each module is a command that prints a table and, with --json, writes its numbers."""

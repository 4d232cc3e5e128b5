"""Limits of owners: who may start now, who waits, and who has to ask again."""

"""Keeps a released version for the tests of upgrades."""

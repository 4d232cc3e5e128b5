"""Requests to the agent servers in the pods."""

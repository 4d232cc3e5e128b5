"""Requests to the agent servers in the pods, and questions that are answered beside the work."""

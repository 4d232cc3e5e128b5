"""Builds the project's container images, with Docker or without."""

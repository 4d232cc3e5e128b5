"""The site of the documentation, and the reference pages that come from the models."""

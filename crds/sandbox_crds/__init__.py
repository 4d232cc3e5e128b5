"""The custom resources, and the names of the objects that belong to a sandbox."""

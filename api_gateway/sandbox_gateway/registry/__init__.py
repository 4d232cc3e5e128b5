"""What container registries say about images."""

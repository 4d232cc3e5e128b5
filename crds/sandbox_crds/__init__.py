"""What operator and gateway agree on: resources, names, keys and reasons, and how both speak to Kubernetes."""

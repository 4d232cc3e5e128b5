"""All that the gateway knows of the cluster and writes to it."""

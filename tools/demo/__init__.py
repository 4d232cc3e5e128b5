"""The demo: cluster, images, chart and the SDK's own example in one command. Cluster tests use its parts."""

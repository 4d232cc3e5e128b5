"""The demo: a cluster, the images, the chart and the SDK's own example, in one command. Cluster tests use its parts."""

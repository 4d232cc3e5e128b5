"""The Grafana dashboard of the chart, from a description of its panels."""

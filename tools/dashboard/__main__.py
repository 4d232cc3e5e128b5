"""`python -m dashboard` writes the chart's dashboard."""

from dashboard.grafana import FILE, text

FILE.write_text(text())

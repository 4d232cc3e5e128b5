"""Pictures of the chart's dashboard from a run with real processes: `python -m bench.dashboard --help`."""

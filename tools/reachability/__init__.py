"""Who may connect to whom, as cyclonus works it out from the chart's NetworkPolicies."""

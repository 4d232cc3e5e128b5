"""The command `kubectl-ohsb`, which kubectl finds as its plugin `kubectl ohsb`: the gateway's API keys."""

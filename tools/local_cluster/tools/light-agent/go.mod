module openhands-sandbox/local-cluster/light-agent

go 1.26.0

module openhands-sandbox/local-cluster/pause

go 1.26.0

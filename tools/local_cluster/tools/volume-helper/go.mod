module openhands-sandbox/local-cluster/volume-helper

go 1.26.0

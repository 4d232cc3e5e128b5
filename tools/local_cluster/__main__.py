from local_cluster.cli import app

app(prog_name="local-cluster")

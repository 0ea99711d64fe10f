"""The laptop stack: Airflow, the MLflow server, an S3 server and a mirror of the Hub, on the loopback address."""

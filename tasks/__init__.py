"""What a release does, step by step. Nothing in here knows Airflow: every task also runs by hand."""

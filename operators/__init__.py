"""How tasks are run by Airflow. Imports nothing heavy: this is read whenever a DAG is parsed."""

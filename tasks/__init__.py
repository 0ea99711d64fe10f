"""The tasks of a release, and the code that they share.

This package does not import Airflow. Each task can also be run by hand: `python -m tasks NAME spec.json`.
"""

"""The page that Airflow shows of a recipe's DAG."""

from tasks.gates.verdict import Rule
from tasks.gates.wording import LABELS
from tasks.recipe import Recipe

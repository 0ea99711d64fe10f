"""A DAG file of Airflow as dags/release.py is one, for a recipe of the two cheapest targets."""

from operators.render import release_dag
from tasks.recipe import Recipe
from tasks.settings import REPOSITORY

dag = release_dag(
    Recipe.model_validate(
        {
            "name": "chaos",
            "folder": REPOSITORY / "dags" / "recipes",
            "description": "Two formats of a model, measured on little text.",
            "licences": ["apache-2.0"],
            "texts": {"evaluation": "texts/demo-evaluation.jsonl", "calibration": "texts/demo-calibration.jsonl"},
            "evaluation": {"window_tokens": 64, "windows": 2, "generations": 1, "generated_tokens": 8, "stop": "never"},
            "targets": ["gguf-f16", "gguf-q8_0"],
            "gates": [{"metric": "tokenizer_parity", "minimum": 1.0, "reason": "wrong tokens are wrong answers"}],
        }
    )
)

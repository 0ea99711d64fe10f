"""Renders a recipe into a DAG: one task group per target; every task has its own pool, slots and timeout.

The graph is static, because Airflow ignores the pool of dynamically mapped tasks, and because people read the graph
before it runs.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup

from operators import parameters
from operators.model_task import GateTask, ModelTask
from operators.recipe_page import recipe_page
from operators.report_task import ReportTask
from operators.trigger_form import release_form
from tasks.definitions import find_definition
from tasks.formats.base import Target
from tasks.formats.registry import load_format
from tasks.plan.bases import with_bases
from tasks.plan.controls import control_of
from tasks.plan.plan import PlannedProof
from tasks.plan.proofs import planned_proofs
from tasks.pools import REGISTRY_POOL, Pool, declared_pools, place
from tasks.recipe import Recipe

RETRIES = 2
RETRY_DELAY = timedelta(seconds=10)


def release_dag(recipe: Recipe) -> DAG:
    """Return the DAG `release_<recipe>`: from the Hub to promoted versions."""
    with DAG(
        dag_id=f"release_{recipe.name}",
        description=recipe.description,
        doc_md=recipe_page(recipe),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        tags=["hallmark", "release"],
        default_args={
            "owner": recipe.owner,
            "retries": RETRIES,
            "retry_delay": RETRY_DELAY,
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=10),
            "execution_timeout": timedelta(hours=recipe.timeout_hours),
        },
        params=release_form(recipe),
    ) as dag:
        _render(recipe)
    return dag


def _render(recipe: Recipe) -> None:
    targets, pools = with_bases(recipe.targets), declared_pools()
    snapshot = {"snapshot": "fetch"}
    pin = ModelTask(task_id="pin", task="pin", parameters=parameters.pin(recipe))
    fetch = ModelTask(task_id="fetch", task="fetch", parameters=parameters.source)
    scan = ModelTask(task_id="scan", task="scan", parameters=parameters.scan(recipe), inputs=snapshot)
    analyze = ModelTask(task_id="analyze", task="analyze", parameters={}, inputs=snapshot)
    preflight = ModelTask(
        task_id="preflight",
        task="preflight",
        parameters=parameters.preflight(recipe, targets),
        inputs={"analysis": "analyze"},
    )
    pin >> fetch >> scan >> analyze >> preflight

    evaluation_text = ModelTask(
        task_id="evaluation_text", task="text", parameters=parameters.text(recipe, recipe.texts.evaluation)
    )
    reference = ModelTask(
        task_id="reference",
        task="reference",
        parameters=parameters.reference(recipe),
        inputs=snapshot | {"analysis": "analyze", "evaluation-text": "evaluation_text"},
        **_placed("reference", {}, pools),
    )
    preflight >> evaluation_text >> reference
    sources = {"snapshot": preflight, "analysis": preflight}
    if any("calibration" in target.requires for target in targets):
        sources["calibration"] = ModelTask(
            task_id="calibration_text", task="text", parameters=parameters.text(recipe, recipe.texts.calibration)
        )
        preflight >> sources["calibration"]

    converts: dict[str, ModelTask] = {}
    gates: list[ModelTask] = []
    judged: dict[str, EmptyOperator] = {}
    bases = {target.name: parameters.judged_bases(recipe, target) for target in recipe.targets}
    for target in targets:
        with TaskGroup(group_id=target.name, tooltip=f"{target.format}, {target.scheme}"):
            convert = _convert(target, pools)
            converts[target.name] = convert
            for name in target.requires:
                (converts | sources)[name] >> convert
            if target.name not in bases:
                continue
            compare = _compare(target, convert, pools)
            control = _convert_control(recipe, target, converts | sources, pools)
            own = _prove(recipe, target, compare, control, reference, pools)
            gates += own
            for base in bases[target.name]:
                judged[base.name] >> own
            if any(target in others for others in bases.values()):
                # The gates of what is made from it wait for its verdict, also if it is a block, which is a failed task.
                judged[target.name] = EmptyOperator(task_id="judged", trigger_rule="all_done")
                own >> judged[target.name]

    register = ModelTask(
        task_id="register",
        task="register",
        parameters=parameters.release(recipe),
        optional_inputs={
            "reference": "reference",
            **{f"artifact:{target.name}": f"{target.name}.convert" for target in recipe.targets},
            **{
                f"{kind}:{name}": f"{name}.{step}"
                for target in recipe.targets
                for name in target.proof_names
                for kind, step in (("verdict", "gate"), ("evaluation", "evaluate"), ("benchmark", "benchmark"))
            },
        },
        pool=REGISTRY_POOL,
        trigger_rule="all_done",
    )
    report = ReportTask(
        task_id="report", task="report", parameters=parameters.summary(recipe), inputs={"release": "register"}
    )
    promote = ModelTask(
        task_id="promote", task="promote", parameters={}, inputs={"release": "register"}, pool=REGISTRY_POOL
    )
    conclude = ModelTask(
        task_id="conclude",
        task="conclude",
        parameters=parameters.conclude,
        optional_inputs={"release": "register", "reference": "reference"},
        trigger_rule="all_done",
    )
    gates >> register >> report >> promote >> conclude


def _placed(task: str, named: Mapping[str, Any], pools: Sequence[Pool], pool: Pool | None = None) -> dict[str, Any]:
    """Return pool, queue, slots, threads and hardware of a task, as its definition needs and its pool declares them.

    pool: where it runs; without it, in the first pool that offers what it needs.
    """
    definition = find_definition(task, named)
    # Preflight leaves out what no pool can run. Its tasks stay in the graph, and are skipped in any pool.
    pool = pool or place(definition.needs, pools) or pools[0]
    return {
        "pool": pool.name,
        "queue": pool.queue,
        "slots": pool.slots_for(definition.threads),
        "threads": pool.threads_for(definition.threads),
        "hardware": pool.hardware,
    }


def _convert(
    target: Target, pools: Sequence[Pool], task_id: str = "convert", planned_target: str | None = None
) -> ModelTask:
    """Add a conversion. It is planned with the target itself, or with the one that is named."""
    named = {"target": target.converted().model_dump(mode="json")}
    inputs = {name: parameters.SOURCE_TASKS.get(name, f"{name}.convert") for name in target.requires}
    return ModelTask(
        task_id=task_id,
        task="convert",
        parameters=named,
        inputs=inputs,
        planned_target=planned_target or target.name,
        **_placed("convert", named, pools),
    )


def _compare(target: Target, convert: ModelTask, pools: Sequence[Pool]) -> ModelTask:
    """Add the comparison of the weights with the source's. It opens no engine and does not wait for the reference."""
    named = {"target": target.converted().model_dump(mode="json")}
    bases = {name: f"{name}.convert" for name in load_format(target.format).tensors.bases if name in target.bases}
    compare = ModelTask(
        task_id="compare_weights",
        task="compare_weights",
        parameters=named,
        planned_target=target.name,
        inputs={"artifact": f"{target.name}.convert"} | parameters.SOURCE | bases,
        **_placed("compare_weights", named, pools),
    )
    convert >> compare
    return compare


def _convert_control(
    recipe: Recipe, target: Target, earlier: Mapping[str, ModelTask], pools: Sequence[Pool]
) -> ModelTask | None:
    """Add the conversion of a target's control, if it has one. It is made, or left out, with the target.

    earlier: the tasks that make its inputs, by the inputs' names.
    """
    control = control_of(target, recipe.targets)
    if control is None:
        return None
    convert = _convert(control, pools, "convert_control", target.name)
    for name in control.requires:
        earlier[name] >> convert
    return convert


def _prove(
    recipe: Recipe,
    target: Target,
    compare: ModelTask,
    control: ModelTask | None,
    reference: ModelTask,
    pools: Sequence[Pool],
) -> list[ModelTask]:
    """Add the proofs of a target, and return their gates. If there are several, each has a group named by its pool."""
    gates = []
    for number, proof in enumerate(planned_proofs(target, pools)):
        with TaskGroup(group_id=target.on[number]) if len(target.on) > 1 else nullcontext():
            gates.append(_prove_in(proof, number, recipe, target, compare, control, reference, pools))
    return gates


def _prove_in(
    proof: PlannedProof,
    number: int,
    recipe: Recipe,
    target: Target,
    compare: ModelTask,
    control: ModelTask | None,
    reference: ModelTask,
    pools: Sequence[Pool],
) -> ModelTask:
    """Add the tasks that follow a comparison of weights, in one engine and pool. Return the last one, the gate.

    control: the conversion of the target's control, if it has one.
    """
    name = target.proof_names[number]
    engine = proof.engine or target.engines[0]
    named: dict[str, Any] = {"target": target.measured_by(engine).model_dump(mode="json")}
    pool = next((pool for pool in pools if pool.name == proof.pool), None)
    artifact = {"artifact": f"{target.name}.convert", "reference": "reference"}
    evaluate = ModelTask(
        task_id="evaluate",
        task="evaluate",
        parameters=parameters.evaluate(recipe, target, engine),
        planned_target=target.name,
        proof=number,
        inputs=artifact | {"analysis": "analyze", "integrity": f"{target.name}.compare_weights"},
        **_placed("evaluate", named, pools, pool),
    )
    benchmark = ModelTask(
        task_id="benchmark",
        task="benchmark",
        parameters=named,
        planned_target=target.name,
        proof=number,
        inputs=artifact,
        **_placed("benchmark", named, pools, pool),
    )
    gate = GateTask(
        task_id="gate",
        task="gate",
        planned_target=target.name,
        proof=number,
        parameters=parameters.gate(recipe, target, number),
        inputs={
            "artifact": f"{target.name}.convert",
            "integrity": f"{target.name}.compare_weights",
            "evaluation": f"{name}.evaluate",
            "benchmark": f"{name}.benchmark",
            **({"control": f"{name}.compare_control"} if control else {}),
        },
        optional_inputs={
            f"base:{each}": f"{each}.gate"
            for base in parameters.judged_bases(recipe, target)
            for each in base.proof_names
        },
    )
    reference >> evaluate
    compare >> evaluate >> benchmark >> gate
    if control:
        compare_control = ModelTask(
            task_id="compare_control",
            task="compare_control",
            parameters=named,
            planned_target=target.name,
            proof=number,
            inputs=artifact | {"control": f"{target.name}.convert_control", "evaluation": f"{name}.evaluate"},
            **_placed("compare_control", named, pools, pool),
        )
        [control, evaluate] >> compare_control >> gate
    return gate

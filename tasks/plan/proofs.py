"""Decides where a target is proven: for each of its proofs the pool and the engine, or the reason why there is none.

The graph of a DAG and the plan of a release both use this function, so they always agree.
"""

from collections.abc import Sequence

from tasks.engines.base import Engine
from tasks.formats.base import Target
from tasks.formats.registry import load_format
from tasks.plan.plan import PlannedProof
from tasks.pools import Pool, no_place


def planned_proofs(target: Target, pools: Sequence[Pool]) -> tuple[PlannedProof, ...]:
    """Return the proofs of a target, in the order of `Target.proof_names`; none for a base that no engine can run.

    In each pool, the first of the target's engines that the pool can run is measured. A target without `on` has one
    proof, in the first pool that can run one of its engines.
    """
    engines = load_format(target.format).engines_of(target)
    if not engines:
        return ()
    if target.on:
        declared = {pool.name: pool for pool in pools}
        return tuple(_in_pool(name, declared, engines) for name in target.on)
    for pool in pools:
        if engine := _first(engines, pool):
            return (PlannedProof(pool=pool.name, engine=engine.name),)
    return (
        PlannedProof(obstacle="; ".join(f"{each.name} cannot run: {no_place(each.needs, pools)}" for each in engines)),
    )


def _in_pool(name: str, declared: dict[str, Pool], engines: Sequence[Engine]) -> PlannedProof:
    if name not in declared:
        obstacle = f"settings.toml declares no pool {name!r} (declared: {', '.join(declared)})"
        return PlannedProof(pool=name, obstacle=obstacle)
    pool = declared[name]
    if engine := _first(engines, pool):
        return PlannedProof(pool=name, engine=engine.name)
    lacking = "; ".join(f"{engine.name}: {pool.obstacle(engine.needs)}" for engine in engines)
    return PlannedProof(pool=name, obstacle=f"the pool {name} cannot run an engine of this format ({lacking})")


def _first(engines: Sequence[Engine], pool: Pool) -> Engine | None:
    return next((engine for engine in engines if pool.obstacle(engine.needs) is None), None)

"""The task `report`. It writes one page, stores it beside the release's record and sends it to MLflow."""

from collections.abc import Mapping
from typing import Any

from tasks.contract import TaskContext
from tasks.model import Model
from tasks.release.current import read_current
from tasks.release.lineage import evidence, steps
from tasks.release.page import render
from tasks.release.record import Release
from tasks.release.registry import open_registry
from tasks.release.table import release_markdown
from tasks.release.usage import Context

REPORT_FILE = "report.html"


class ReportParameters(Model):
    """What the report shows about the recipe. The release holds the recipe's name.

    context: which context the commands state; see tasks/release/usage.py.
    """

    name: str = ""
    description: str = ""
    owner: str = ""
    context: Context = "compared"


def report(parameters: ReportParameters, context: TaskContext) -> Mapping[str, Any]:
    """Write `report.html` for the input `release`. Everything else comes from the store.

    The page is stored beside the release's record. It is also sent to the release's MLflow run. A release in which
    nothing is new shares the run of the earlier release, and that run keeps the earlier report.

    Facts: `report` (the page's name in the store), `uri`.
    """
    path = context.materialize("release") / "release.json"
    release = Release.read_file(path, f"release.json of {context.inputs['release'].key}")
    context.progress("reading the release's documents from the store", 0.0)
    page = render(
        release,
        [evidence(context.store, target) for target in release.targets],
        steps(context.store, release),
        read_current(context.store, release.repository),
        parameters.description,
        parameters.owner,
        context.store,
        parameters.context,
    )
    written = context.output / REPORT_FILE
    written.write_text(page, encoding="utf-8")
    name = release.name.removesuffix(".json") + ".html"
    context.store.put_file(name, written)
    if release.mlflow_run and not release.unchanged_since:
        registry = open_registry()
        registry.log_files(release.mlflow_run, [written, path])
        registry.set_note(release.mlflow_run, release_markdown(release))
    return {"report": name, "uri": context.store.uri(name)}

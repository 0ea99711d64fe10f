"""Small releases for tests: artifacts that MLflow can load, verdicts on them, and the task contexts around them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.engines.mlmodel import write_mlmodel
from tasks.evaluation.measurement import Measurement
from tasks.formats.base import Target
from tasks.gates.verdict import Answer, Rule, Verdict
from tasks.manifest import FileEntry, Manifest
from tasks.model import digest_of
from tasks.release.judge import AskedProof, AskedTarget
from tasks.release.promote import PromoteParameters, promote
from tasks.release.register import RegisterParameters, register
from tasks.release.report import ReportParameters, report
from tasks.store.artifacts import complete_attempt, write_manifest
from tasks.store.base import Store
from tests.fixtures.context import FolderContext, manifest_of

DISTURBED = "other processes took 0.9 of 2 cores"
RULE = Rule(metric="kld_mean", maximum=0.05, reason="a bound for this test")
POOL = "cpu"
LICENCE_LINK = "https://example.org/terms"
ENGINE = Path(__file__).parents[1] / "engines" / "parrot.py"


def target_of(name: str) -> Target:
    return Target(name=name, format=name.split("-")[0], scheme=name.split("-")[1], maker="toy", engines=("toy",))


@dataclass
class Maker:
    """Makes releases of one repository in one store, in folders below `root`.

    disturbed, speed: what was measured of every target's speed, and what disturbed that.
    """

    root: Path
    store: Store
    repository: str
    disturbed: str | None = DISTURBED
    speed: float = 100.0

    def artifact(self, word: str, key: str = "") -> tuple[Path, Manifest]:
        """Put an artifact whose model answers `word` into the store; `key` stands for a change of toolchain."""
        folder = self.root / f"artifact-{word}"
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "weights.txt").write_text(word)
            write_mlmodel(folder, format="toy", requirements=[], engine=ENGINE)
        return folder, self._stored(folder, "convert", digest_of([self.repository, word, key]))

    def verdict(self, target: str, artifact: Manifest, kld: float, pool: str = POOL) -> tuple[Path, Manifest]:
        """Put a verdict into the store; the gate is a KLD mean of at most 0.05."""
        passed = kld <= 0.05
        answer = Answer(rule=RULE, outcome="pass" if passed else "fail", seen=kld, why=f"KLD mean {kld} against 0.05")
        verdict = Verdict(
            target=target,
            engine="toy 1",
            pool=pool,
            artifact=artifact.key,
            files_digest=artifact.files_digest,
            passed=passed,
            answers=(answer,),
        )
        folder = self.root / f"verdict-{target}-{artifact.key[:12]}-{kld}-{self.speed}"
        folder.mkdir(exist_ok=True)
        (folder / "verdict.json").write_text(verdict.to_json())
        measured = {
            "kld_mean": Measurement(value=kld, standard_error=0.001),
            "noise_kld_mean": Measurement(value=0.0004),
            "context_compared": Measurement(value=4608),
            "tensors_faithful": Measurement(value=1, observations=20),
            "weights_identical": Measurement(value=0, observations=20),
            "decode_tokens_per_second": Measurement(value=self.speed),
        }
        metrics = {metric: found.model_dump() for metric, found in measured.items()}
        facts = {"metrics": metrics, "disturbed": self.disturbed}
        return folder, self._stored(folder, "gate", digest_of([str(folder)]), facts)

    def register(
        self,
        run: str,
        words: dict[str, str],
        klds: dict[str, float] | None = None,
        commit: str = "a" * 40,
        key: str = "",
        recipe: str = "demo",
    ) -> tuple[dict[str, Any], FolderContext]:
        """Register a release whose targets answer these words; those in `klds` have another KLD than 0.01."""
        context = self.context(run)
        for target, word in words.items():
            folder, artifact = self.artifact(word, key)
            self.give(context, f"artifact:{target}", folder, artifact)
            self.give(context, f"verdict:{target}", *self.verdict(target, artifact, (klds or {}).get(target, 0.01)))
        parameters = self.parameters(run, list(words), commit).model_copy(update={"recipe": recipe})
        return dict(register(parameters, context)), context

    def promote(self, registered: FolderContext) -> dict[str, Any]:
        """Promote what `register` left in its output folder."""
        context = self.context(f"{registered.output.parent.name}-promote")
        self.give(context, "release", registered.output, manifest_of(registered.output))
        return dict(promote(PromoteParameters(), context))

    def report(self, registered: FolderContext) -> tuple[dict[str, Any], FolderContext]:
        """Report on what `register` left in its output folder."""
        context = self.context(f"{registered.output.parent.name}-report")
        self.give(context, "release", registered.output, manifest_of(registered.output))
        return dict(report(ReportParameters(description="for a test", owner="nobody"), context)), context

    def parameters(self, run: str, targets: list[str], commit: str = "a" * 40) -> RegisterParameters:
        return RegisterParameters(
            repository=self.repository,
            commit=commit,
            licence="mit",
            licence_link=LICENCE_LINK,
            recipe="demo",
            run=run,
            targets=tuple(
                AskedTarget(target=target_of(name), proofs=(AskedProof(pool=POOL, engine="toy", name=name),))
                for name in targets
            ),
        )

    def context(self, name: str) -> FolderContext:
        """Return a context over the store, without inputs; one of the same name before it is thrown away."""
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("output", "scratch"):
            (folder / part).mkdir(parents=True)
        return FolderContext(folders={}, output=folder / "output", scratch=folder / "scratch", store=self.store)

    @staticmethod
    def give(context: FolderContext, name: str, folder: Path, manifest: Manifest) -> None:
        context.folders = {**context.folders, name: folder}
        context.inputs = {**context.inputs, name: manifest}

    def _stored(self, folder: Path, kind: str, key: str, facts: dict[str, Any] | None = None) -> Manifest:
        manifest = manifest_of(folder, kind, facts).model_copy(update={"key": key})
        sent: list[FileEntry] = []
        for entry in manifest.files:
            sent.append(self.store.put_file(manifest.prefix + entry.path, folder / entry.path))
        assert [entry.sha256 for entry in sent] == [entry.sha256 for entry in manifest.files]
        complete_attempt(self.store, manifest)
        write_manifest(self.store, manifest)
        return manifest

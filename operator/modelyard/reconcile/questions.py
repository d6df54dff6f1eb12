"""Answer the questions of a decision about a model."""

from __future__ import annotations

import dataclasses
import json
from typing import Final

from modelyard import edge
from modelyard.api import serving
from modelyard.api.reason import Reason
from modelyard.edge.cluster import client
from modelyard.plan import finding
from modelyard.plan.observed import specs
from modelyard.plan.observed.world import Answer, DryRun, Question, Recorded, Render, Snapshot, World
from modelyard.plan.serving import confinement, objects, template
from modelyard.reconcile import troubles
from modelyard.reconcile.outside import Outside
from modelyard.reconcile.serving import occupied

NAMES: Final = 16
"""The most names of a list of files that are tried when it is rendered."""


class Answers:
    """Renders templates, tries them on the API server as dry runs, and reads snapshots."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def to(self, world: World, question: Question) -> Answer:
        """Answer a question; a Fact when the answer is a refusal, a Held when it is unknown now. A failure concerns this question only."""
        try:
            if isinstance(question, DryRun):
                return await self._dry_run(world, question)
            if isinstance(question, Snapshot):
                return dict(json.loads(await self._outside.prover.blob(question.digest)))
            if isinstance(question, Recorded):
                return await self._recorded(world, question)
            rendered = await self._render(world, question)
            if isinstance(rendered, finding.Finding):
                return rendered
            # While the ledger is unavailable only a rollback asks this, and it does not wait for blobs of the same bucket either.
            keep = self._outside.prover.keep_blob_late if world.withheld else self._outside.prover.keep_blob
            return await keep(rendered)
        except edge.Unavailable as trouble:
            return finding.Unmet(trouble.reason, trouble.message)
        except Exception as error:
            subject = "a recorded spec" if isinstance(question, Snapshot) else f"the stage {question.stage}"
            return troubles.explained(subject, error, f"Model/{world.namespace}/{world.name}")

    async def _render(self, world: World, question: Render) -> bytes | finding.Finding:
        declared, subject = world.stage(question.stage), world.versions[question.version]
        assert world.model is not None
        assert declared is not None
        assert declared.serving is not None
        assert subject.status.artifact is not None
        runs = template.written(await self._outside.prover.blob(question.of)) if question.of else declared.serving
        if refusal := _reserved(runs, question.stage):
            return refusal
        manifest = await self._outside.prover.blob(subject.status.artifact.manifest)
        blueprint = template.Blueprint(
            model=world.model,
            stage=question.stage,
            serving=runs,
            version=question.version,
            uri=subject.spec.artifact.uri,
            digest=subject.status.artifact.digest,
            files=template.files(manifest),
            fetch_image=self._outside.config.fetch_image,
        )
        return await self._with_a_free_name(world, blueprint)

    async def _recorded(self, world: World, question: Recorded) -> str | finding.Finding:
        """Check that a recorded document is what its own spec renders to, with the version's bytes and our fetch container in it.

        Then pods that run it need not be restarted; what it was rendered from is judged as if it were written anew.
        """
        declared = world.stage(question.stage)
        recorded = world.past.versions.get(question.version) if world.past else None
        if (
            world.model is None
            or declared is None
            or declared.serving is None
            or recorded is None
            or not (recorded.digest and recorded.manifest)
        ):
            return _not_ours(question, "the ledger does not tell what it was rendered from")
        rendered = await self._outside.prover.blob(question.template)
        name = f"{world.name}-{question.version}"
        spec = specs.read("ModelVersion", name, await self._outside.prover.blob(recorded.spec))
        try:
            runs = declared.serving if template.source(declared.serving) == question.source else template.written(rendered)
            deployed, image = world.deployments.get(question.stage), template.fetch_image(rendered)
            if not (image == self._outside.config.fetch_image or (image and deployed and deployed.template == question.template)):
                return _not_ours(question, f"its fetch container runs {image!a}")
            blueprint = template.Blueprint(
                model=world.model,
                stage=question.stage,
                serving=runs,
                version=question.version,
                uri=spec["artifact"]["uri"],
                digest=recorded.digest,
                files=template.files(await self._outside.prover.blob(recorded.manifest)),
                fetch_image=image,
            )
            if template.source(runs) != question.source or template.invalid(runs) or not template.is_rendered(rendered, blueprint):
                return _not_ours(question, "it is not what the recorded spec renders to")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return _not_ours(question, "it is no document of ours")
        return await self._confined(world, question.stage, runs) or question.template

    async def _confined(self, world: World, stage: str, runs: serving.Serving) -> finding.Finding | None:
        """Return why pods of a template may not be created: the operator creates them with its own rights, which a promoter need not have."""
        if (refused := confinement.refused(runs.template)) is None:
            return None
        namespace = await self._outside.cluster.get(client.NAMESPACE, "", world.namespace)
        return None if confinement.allowed(namespace) else finding.Finding(Reason.TEMPLATE_INVALID, f"stage {stage}: {refused}")

    async def _with_a_free_name(self, world: World, blueprint: template.Blueprint) -> bytes:
        """Render a document whose list of files has a free name: nobody can block a rollout by taking names."""
        wish = _dry_wish(world, blueprint.stage)
        for attempt in range(1, NAMES + 1):
            rendered = template.render(dataclasses.replace(blueprint, attempt=attempt))
            files, *_ = objects.objects(wish, rendered, world.namespace)
            if (await occupied(self._outside, world, files)).taken is None:
                break
        return rendered

    async def _dry_run(self, world: World, question: DryRun) -> finding.Finding | None:
        """Try the stage's objects on the API server as dry runs, with a version that does not exist."""
        declared = world.stage(question.stage)
        assert world.model is not None
        assert declared is not None
        assert declared.serving is not None
        if refusal := _reserved(declared.serving, question.stage):
            return refusal
        if beyond := await self._confined(world, question.stage, declared.serving):
            return beyond
        blueprint = template.Blueprint(
            world.model, question.stage, declared.serving, "0", "s3://dry/run", template.NO_DIGEST, b"", self._outside.config.fetch_image
        )
        wish = dataclasses.replace(_dry_wish(world, question.stage), replicas=declared.serving.replicas)
        for obj in objects.objects(wish, template.render(blueprint), world.namespace):
            if obj["kind"] == "ConfigMap":
                continue
            try:
                if why := (await occupied(self._outside, world, obj)).taken:
                    return why
                await self._outside.cluster.apply(obj, dry_run=True)
            except client.Refused as refused:
                return finding.Finding(Reason.TEMPLATE_INVALID, f"stage {question.stage}: {refused.message}")
        return None


def _not_ours(question: Recorded, why: str) -> finding.Finding:
    message = f"stage {question.stage}: the recorded template {question.template} is not used: {why}; the declared one is rolled out"
    return finding.Finding(Reason.TEMPLATE_INVALID, message)


def _reserved(declared: serving.Serving, stage: str) -> finding.Finding | None:
    """Return why a template cannot be rendered."""
    refusal = template.invalid(declared)
    return finding.Finding(refusal.reason, f"stage {stage}: {refusal.message}") if refusal else None


def _dry_wish(world: World, name: str) -> objects.Serve:
    declared = world.stage(name)
    strategy = declared.serving.strategy if declared and declared.serving else None
    return objects.Serve(
        world.name, name, template.NO_DIGEST, None, strategy or serving.Strategy.ROLLING_UPDATE, paused=False, deadline=600
    )

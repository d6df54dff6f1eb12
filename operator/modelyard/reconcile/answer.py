"""Answers what a plan for a model asks of the world before it can be made."""

from __future__ import annotations

import dataclasses
import json

from modelyard import edge
from modelyard.api import serving as serving_api
from modelyard.api.reason import Reason
from modelyard.edge import cluster
from modelyard.plan import fact, serving
from modelyard.plan import world as seen
from modelyard.reconcile.outside import Outside
from modelyard.reconcile.serve import taken


class Answers:
    """Renders templates, asks the API server whether it would take them, reads snapshots."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def to(self, world: seen.World, question: seen.Question) -> seen.Answer:
        """The answer; a fact when what was asked for is refused or cannot be had now.

        Raises:
            edge.Unavailable: the API server does not answer.
        """
        try:
            if isinstance(question, seen.DryRun):
                return await self._dry_run(world, question)
            if isinstance(question, seen.Snapshot):
                return dict(json.loads(await self._outside.prover.blob(question.digest)))
            rendered = await self._render(world, question)
            # Only a rollback asks this while the ledger does not answer, and it does not wait for the same bucket's blobs either.
            keep = self._outside.prover.keep_blob_late if world.withheld else self._outside.prover.keep_blob
            return await keep(rendered)
        except edge.Unavailable as trouble:
            if trouble.reason == Reason.CLUSTER_UNAVAILABLE:
                raise
            return fact.Fact(trouble.reason, trouble.message)

    async def _render(self, world: seen.World, question: seen.Render) -> bytes:
        declared, subject = world.stage(question.stage), world.versions[question.version]
        assert world.model is not None
        assert declared is not None
        assert declared.serving is not None
        assert subject.status.artifact is not None
        manifest = await self._outside.prover.blob(subject.status.artifact.manifest)
        runs = serving.written(await self._outside.prover.blob(question.of)) if question.of else declared.serving
        return serving.render(
            serving.Blueprint(
                model=world.model,
                stage=question.stage,
                serving=runs,
                version=question.version,
                uri=subject.spec.artifact.uri,
                digest=subject.status.artifact.digest,
                files=serving.files(manifest),
                fetch_image=self._outside.config.fetch_image,
            )
        )

    async def _dry_run(self, world: seen.World, question: seen.DryRun) -> fact.Fact | None:
        """Whether the API server would take what the stage renders to, asked with a version that does not exist."""
        declared = world.stage(question.stage)
        assert world.model is not None
        assert declared is not None
        assert declared.serving is not None
        if wrong := serving.reserved(declared.serving):
            return fact.Fact(wrong.reason, f"stage {question.stage}: {wrong.message}")
        blueprint = serving.Blueprint(
            world.model, question.stage, declared.serving, "0", "s3://dry/run", serving.NO_DIGEST, b"", self._outside.config.fetch_image
        )
        wish = dataclasses.replace(_dry_wish(world, question.stage), replicas=declared.serving.replicas)
        for obj in serving.objects(wish, serving.render(blueprint), world.namespace):
            if obj["kind"] == "ConfigMap":
                continue
            if why := await taken(self._outside, world, obj):
                return why
            try:
                await self._outside.cluster.apply(obj, dry_run=True)
            except cluster.Refused as refused:
                return fact.Fact(Reason.TEMPLATE_INVALID, f"stage {question.stage}: {refused.message}")
        return None


def _dry_wish(world: seen.World, name: str) -> serving.Serve:
    declared = world.stage(name)
    strategy = declared.serving.strategy if declared and declared.serving else None
    return serving.Serve(
        world.name, name, serving.NO_DIGEST, None, strategy or serving_api.Strategy.ROLLING_UPDATE, paused=False, deadline=600
    )

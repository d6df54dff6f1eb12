"""Answers what a plan for a model asks of the world before it can be made."""

from __future__ import annotations

import dataclasses
import json
from typing import Final

from modelyard import edge
from modelyard.api import serving as serving_api
from modelyard.api.reason import Reason
from modelyard.edge import cluster
from modelyard.plan import confinement, fact, serving, specs
from modelyard.plan import world as seen
from modelyard.reconcile import troubles
from modelyard.reconcile.outside import Outside
from modelyard.reconcile.serve import occupied

NAMES: Final = 16
"""How many names of a list of files are tried when it is rendered."""


class Answers:
    """Renders templates, asks the API server whether it would take them, reads snapshots."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def to(self, world: seen.World, question: seen.Question) -> seen.Answer:
        """The answer; a Fact when what was asked for is refused, a Held when nobody knows now. Whatever goes wrong is this question's alone."""
        try:
            if isinstance(question, seen.DryRun):
                return await self._dry_run(world, question)
            if isinstance(question, seen.Snapshot):
                return dict(json.loads(await self._outside.prover.blob(question.digest)))
            if isinstance(question, seen.Recorded):
                return await self._recorded(world, question)
            rendered = await self._render(world, question)
            if isinstance(rendered, fact.Fact):
                return rendered
            # Only a rollback asks this while the ledger does not answer, and it does not wait for the same bucket's blobs either.
            keep = self._outside.prover.keep_blob_late if world.withheld else self._outside.prover.keep_blob
            return await keep(rendered)
        except edge.Unavailable as trouble:
            return fact.Held(trouble.reason, trouble.message)
        except Exception as error:
            what = "a recorded spec" if isinstance(question, seen.Snapshot) else f"the stage {question.stage}"
            return troubles.explained(what, error, f"Model/{world.namespace}/{world.name}")

    async def _render(self, world: seen.World, question: seen.Render) -> bytes | fact.Fact:
        declared, subject = world.stage(question.stage), world.versions[question.version]
        assert world.model is not None
        assert declared is not None
        assert declared.serving is not None
        assert subject.status.artifact is not None
        runs = serving.written(await self._outside.prover.blob(question.of)) if question.of else declared.serving
        if wrong := _reserved(runs, question.stage):
            return wrong
        manifest = await self._outside.prover.blob(subject.status.artifact.manifest)
        blueprint = serving.Blueprint(
            model=world.model,
            stage=question.stage,
            serving=runs,
            version=question.version,
            uri=subject.spec.artifact.uri,
            digest=subject.status.artifact.digest,
            files=serving.files(manifest),
            fetch_image=self._outside.config.fetch_image,
        )
        return await self._with_a_free_name(world, blueprint)

    async def _recorded(self, world: seen.World, question: seen.Recorded) -> str | fact.Fact:
        """Whether a document that the ledger names is what its own spec renders to, with the version's bytes and our fetch container in it.

        Then pods that run it need not be restarted; what it was rendered from is judged as if it were written anew.
        """
        declared = world.stage(question.stage)
        known = world.past.versions.get(question.version) if world.past else None
        if world.model is None or declared is None or declared.serving is None or known is None or not (known.digest and known.manifest):
            return _not_ours(question, "the ledger does not tell what it was rendered from")
        rendered = await self._outside.prover.blob(question.template)
        name = f"{world.name}-{question.version}"
        spec = specs.read("ModelVersion", name, await self._outside.prover.blob(known.spec))
        try:
            runs = declared.serving if serving.source(declared.serving) == question.source else serving.written(rendered)
            deployed, image = world.deployments.get(question.stage), serving.fetch_image(rendered)
            if not (image == self._outside.config.fetch_image or (image and deployed and deployed.template == question.template)):
                return _not_ours(question, f"its fetch container runs {image!a}")
            blueprint = serving.Blueprint(
                model=world.model,
                stage=question.stage,
                serving=runs,
                version=question.version,
                uri=spec["artifact"]["uri"],
                digest=known.digest,
                files=serving.files(await self._outside.prover.blob(known.manifest)),
                fetch_image=image,
            )
            if serving.source(runs) != question.source or serving.reserved(runs) or not serving.is_rendered(rendered, blueprint):
                return _not_ours(question, "it is not what the recorded spec renders to")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return _not_ours(question, "it is no document of ours")
        return await self._confined(world, question.stage, runs) or question.template

    async def _confined(self, world: seen.World, stage: str, runs: serving_api.Serving) -> fact.Fact | None:
        """Why pods of a template may not be made: with the operator's rights, and whoever may promote need not have those."""
        if (refused := confinement.refused(runs.template)) is None:
            return None
        namespace = await self._outside.cluster.get(cluster.NAMESPACE, "", world.namespace)
        return None if confinement.allowed(namespace) else fact.Fact(Reason.TEMPLATE_INVALID, f"stage {stage}: {refused}")

    async def _with_a_free_name(self, world: seen.World, blueprint: serving.Blueprint) -> bytes:
        """The document whose list of files has a name that nobody else took: whoever takes names cannot keep a rollout from beginning."""
        wish = _dry_wish(world, blueprint.stage)
        for attempt in range(1, NAMES + 1):
            rendered = serving.render(dataclasses.replace(blueprint, attempt=attempt))
            files, *_ = serving.objects(wish, rendered, world.namespace)
            if (await occupied(self._outside, world, files)).taken is None:
                break
        return rendered

    async def _dry_run(self, world: seen.World, question: seen.DryRun) -> fact.Fact | None:
        """Whether the API server would take what the stage renders to, asked with a version that does not exist."""
        declared = world.stage(question.stage)
        assert world.model is not None
        assert declared is not None
        assert declared.serving is not None
        if wrong := _reserved(declared.serving, question.stage):
            return wrong
        if beyond := await self._confined(world, question.stage, declared.serving):
            return beyond
        blueprint = serving.Blueprint(
            world.model, question.stage, declared.serving, "0", "s3://dry/run", serving.NO_DIGEST, b"", self._outside.config.fetch_image
        )
        wish = dataclasses.replace(_dry_wish(world, question.stage), replicas=declared.serving.replicas)
        for obj in serving.objects(wish, serving.render(blueprint), world.namespace):
            if obj["kind"] == "ConfigMap":
                continue
            try:
                if why := (await occupied(self._outside, world, obj)).taken:
                    return why
                await self._outside.cluster.apply(obj, dry_run=True)
            except cluster.Refused as refused:
                return fact.Fact(Reason.TEMPLATE_INVALID, f"stage {question.stage}: {refused.message}")
        return None


def _not_ours(question: seen.Recorded, why: str) -> fact.Fact:
    message = f"stage {question.stage}: the recorded template {question.template} is not used: {why}; the declared one is rolled out"
    return fact.Fact(Reason.TEMPLATE_INVALID, message)


def _reserved(declared: serving_api.Serving, stage: str) -> fact.Fact | None:
    """What of a template we cannot render."""
    wrong = serving.reserved(declared)
    return fact.Fact(wrong.reason, f"stage {stage}: {wrong.message}") if wrong else None


def _dry_wish(world: seen.World, name: str) -> serving.Serve:
    declared = world.stage(name)
    strategy = declared.serving.strategy if declared and declared.serving else None
    return serving.Serve(
        world.name, name, serving.NO_DIGEST, None, strategy or serving_api.Strategy.ROLLING_UPDATE, paused=False, deadline=600
    )

"""Delete old lists of files: immutable ConfigMaps of ended rollouts, which no pod will read again."""

from __future__ import annotations

from collections.abc import Callable, Collection

from modelyard.api import labels
from modelyard.edge.cluster import client
from modelyard.plan.serving import objects


async def collect(reach: client.Cluster, fence: Callable[[], None], namespace: str, model: str, needed: Collection[str]) -> bool:
    """Delete a model's lists that are not needed and that no Deployment and no pod mentions; return whether all others are gone.

    Call it when no rollout is under way, from the code that begins rollouts: a list is applied before the first pod that mentions it.
    """
    selector = f"{labels.MANAGED_BY}={labels.MANAGER},{labels.MODEL}={model}"
    listed = [config_map["metadata"] async for config_map in reach.list(client.CONFIG_MAP, namespace, labelSelector=selector)]
    spare = [metadata for metadata in listed if metadata["name"] not in needed and not objects.is_foreign(metadata)]
    if not spare:
        return True
    mentioned: set[str] = set()
    async for deployment in reach.list(client.DEPLOYMENT, namespace, labelSelector=selector):
        mentioned |= objects.config_maps(deployment["spec"]["template"]["spec"])
    async for pod in reach.list(client.POD, namespace, labelSelector=selector):
        mentioned |= objects.config_maps(pod["spec"])
    for metadata in spare:
        if metadata["name"] not in mentioned:
            fence()
            await reach.delete(client.CONFIG_MAP, namespace, metadata["name"], metadata["uid"])
    return not any(metadata["name"] in mentioned for metadata in spare)

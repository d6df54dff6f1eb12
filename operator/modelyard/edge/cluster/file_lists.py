"""Lists of files that pods once fetched by, and none will again: immutable ConfigMaps of rollouts that are over."""

from __future__ import annotations

from collections.abc import Callable, Collection

from modelyard.api import labels
from modelyard.edge.cluster import client
from modelyard.plan.serving import objects


async def collect(reach: client.Cluster, fence: Callable[[], None], namespace: str, model: str, needed: Collection[str]) -> bool:
    """Delete a model's lists that are not needed and that no Deployment and no pod mentions; whether none had to stay.

    Call it when no rollout is under way, and from where rollouts begin: a list is applied before the first pod that mentions it.
    """
    ours = f"{labels.MANAGED_BY}={labels.MANAGER},{labels.MODEL}={model}"
    listed = [one["metadata"] async for one in reach.list(client.CONFIG_MAP, namespace, labelSelector=ours)]
    spare = [about for about in listed if about["name"] not in needed and not objects.is_foreign(about)]
    if not spare:
        return True
    mentioned: set[str] = set()
    async for deployment in reach.list(client.DEPLOYMENT, namespace, labelSelector=ours):
        mentioned |= objects.config_maps(deployment["spec"]["template"]["spec"])
    async for pod in reach.list(client.POD, namespace, labelSelector=ours):
        mentioned |= objects.config_maps(pod["spec"])
    for about in spare:
        if about["name"] not in mentioned:
            fence()
            await reach.delete(client.CONFIG_MAP, namespace, about["name"], about["uid"])
    return not any(about["name"] in mentioned for about in spare)

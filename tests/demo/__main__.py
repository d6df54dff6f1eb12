"""The main job, told as it happens: a cluster, an operator, two versions of a real model, and an attempt to change one of them."""

from __future__ import annotations

import json
import pathlib
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Final

from tests.cluster.node import access
from tests.demo import place, predict, registry, store, story, train, voice

HERE: Final = pathlib.Path(__file__).parent
BUILD: Final = HERE.parents[1] / "build" / "demo"
NAMESPACE: Final = "demo"
MODEL: Final = "tumor"
FAILED: Final = ("Failed", "Rejected", "Aborted", "RolledBack", "Blocked", "Reused")
PORT: Final = 8080


def main() -> int:
    """Tell the whole story; 0 when everything was as it should be."""
    here: access.Cluster | None = None
    try:
        here = place.prepare()
        Demo(here).tell()
    except (story.Trouble, access.KubectlError) as trouble:
        voice.bad(str(trouble))
        if here:
            voice.chapter("What is there now")
            story.diagnose(here, NAMESPACE, place.NAMESPACE, place.RELEASE)
        return 1
    except KeyboardInterrupt:
        voice.bad("stopped; `make demo` starts over, `make cluster-down` takes everything away")
        return 130
    return 0


class Demo:
    """The story, once the operator runs."""

    def __init__(self, here: access.Cluster) -> None:
        self.cluster = here
        self.story = story.Story(here, NAMESPACE)
        self.data = train.load()
        self.keys = {"AWS_ACCESS_KEY_ID": here.store.access_key, "AWS_SECRET_ACCESS_KEY": here.store.secret_key}

    def tell(self) -> None:
        """Every chapter, in order."""
        first, second = self.learn()
        self.declare()
        self.register(first, parent=None)
        self.promote(first)
        self.consult(first)
        self.register(second, parent=first.version)
        self.promote_while_called(second)
        self.consult(second)
        self.tamper(second)
        self.leave(second)

    def learn(self) -> tuple[train.Trained, train.Trained]:
        """Two versions of a real model on real data."""
        voice.chapter("A data scientist trains a model")
        voice.say(
            f"569 patients of scikit-learn's breast cancer data, {len(self.data.features)} measurements each. {len(self.data.held_out)} "
            "of them are held out: no version ever sees them. Version 1.0.0 learns from the first 60 patients; 1.1.0 is the same model "
            f"after all {len(self.data.rows)} came in."
        )
        shutil.rmtree(BUILD, ignore_errors=True)
        sizes = {"1.0.0": 60, "1.1.0": len(self.data.rows)}
        trained = [train.train(version, patients, self.data, BUILD) for version, patients in sizes.items()]
        for one in trained:
            told = "  ".join(f"{name} {value}" for name, value in one.metrics.items())
            voice.good(f"{one.artifact.relative_to(BUILD.parents[1])}: ONNX, from {one.patients} patients; held out: {told}")
            voice.seen(f"its validation report: {one.report.relative_to(BUILD.parents[1])}")
        return trained[0], trained[1]

    def declare(self) -> None:
        """The namespace, the keys of the store, and the Model."""
        voice.chapter("The team declares its model")
        voice.say(
            "A Model says who owns it, where its artifacts live, and which stages a version goes through. "
            "Staging comes by itself; production is asked for."
        )
        # What an earlier run left goes first: its namespace with everything in it, and its objects in the store.
        self.cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout=180s")
        if removed := store.clear(store.connect(self.cluster.store.endpoint, self.keys), "models", f"{MODEL}/"):
            voice.seen(f"what an earlier run left was removed, {removed} objects in the store among it")
        self.apply("namespace.yaml")
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "models-s3", "namespace": NAMESPACE},
            "stringData": self.keys,
        }
        self.cluster.kubectl("apply", "--filename=-", input=json.dumps(secret))
        voice.seen("secret/models-s3: the keys of the object store, for reading what the Model names")
        self.apply("model.yaml")

    def apply(self, manifest: str) -> None:
        """`kubectl apply` of one of the manifests."""
        path = HERE / "manifests" / manifest
        voice.typed("kubectl", "apply", "--filename", str(path.relative_to(HERE.parents[1])))
        voice.seen(self.cluster.kubectl("apply", "--filename", str(path)))

    def register(self, trained: train.Trained, parent: str | None) -> None:
        """Push a version; every byte is read and hashed before it is Ready."""
        voice.chapter(f"{MODEL} {trained.version} is registered")
        voice.say(
            "Uploaded with its metrics, parameters, data sets and validation report. "
            "It is Ready only once the operator has read and hashed every byte."
        )
        registry.push(trained, model=MODEL, namespace=NAMESPACE, parent=parent, environment=self.environment())
        artifact = self.story.until(f"ModelVersion/{MODEL}-{trained.version}", "Ready", 120, FAILED)["status"]["artifact"]
        read = f"{artifact['files']} files, {artifact['bytes']} bytes, read and hashed in {artifact['seconds']:.2f} s"
        voice.good(f"{read}: {artifact['digest']}")

    def environment(self) -> Mapping[str, str]:
        """What the `modelyard` command needs: the cluster, the keys of the store, and a way to it from this machine."""
        return {**place.environment(self.cluster), **self.keys, "AWS_ENDPOINT_URL": self.cluster.store.endpoint}

    def promote(self, trained: train.Trained) -> None:
        """Staging by itself, production on request; told as it happens."""
        voice.chapter(f"{MODEL} {trained.version} goes to staging, and to production")
        self.apply(f"promote-{trained.version}.yaml")
        name = f"Promotion/{MODEL}-{trained.version}-production"
        self.story.until(name, "Succeeded", 300, FAILED)
        voice.typed("kubectl", "get", "models,modelversions,promotions", "--namespace", NAMESPACE)
        voice.seen(self.cluster.kubectl("get", "models,modelversions,promotions", "--namespace", NAMESPACE))

    def promote_while_called(self, trained: train.Trained) -> None:
        """The same while somebody calls production all the time."""
        self.apply("caller.yaml")
        self.cluster.kubectl("wait", "pod/caller", "--for=condition=Ready", "--namespace", NAMESPACE, "--timeout=60s")
        self.promote(trained)
        counted: Mapping[str, int] = json.loads(self.cluster.kubectl("logs", "caller", "--namespace", NAMESPACE, "--tail", "1"))
        self.cluster.kubectl("delete", "pod", "caller", "--namespace", NAMESPACE, "--wait=false")
        told = ", ".join(f"{number} × {who}" for who, number in counted.items())
        failed = any(who.startswith("no answer") for who in counted)
        (voice.bad if failed else voice.good)(f"a pod that called production all the while was answered by: {told}")

    def consult(self, trained: train.Trained) -> None:
        """Ask production about the held-out patients."""
        voice.chapter(f"Production is asked about {len(self.data.held_out)} patients it has never seen")
        with story.reach(self.cluster, NAMESPACE, f"service/{MODEL}-production", PORT) as url:
            answer = predict.ask(url, self.data)
        predict.tell(answer, self.data)
        self.must_be(answer, trained)

    def must_be(self, answer: predict.Answer, trained: train.Trained) -> None:
        """The right version answered, with the right bytes, as well as its report says."""
        status = story.look(self.cluster, "modelversion", f"{MODEL}-{trained.version}", "--namespace", NAMESPACE)["status"]
        expected = (trained.version, status["artifact"]["digest"], trained.metrics["accuracy"])
        if (answer.version, answer.digest, round(answer.accuracy, 4)) != expected:
            instead = f"{answer.version}, {answer.digest}, {answer.accuracy:.4f}"
            raise story.Trouble(f"expected version, digest and accuracy {expected}; {instead} answered")

    def tamper(self, trained: train.Trained) -> None:
        """Change one stored byte of what production serves; and put it back."""
        voice.chapter(f"Somebody changes one byte of {MODEL} {trained.version} in the object store")
        name, key = f"ModelVersion/{MODEL}-{trained.version}", f"{MODEL}/{trained.version}/model.onnx"
        with store.tampered(store.connect(self.cluster.store.endpoint, self.keys), "models", key) as (position, size):
            voice.bad(f"s3://models/{key}: byte {position} of {size} is another one now")
            began = time.monotonic()
            self.story.until(name, "Quarantined", 120)
            voice.good(f"found after {time.monotonic() - began:.0f} s (the demo looks every 15 s); nobody can promote it any more")
            voice.say("What serves goes on serving: its pods hold bytes that were verified when they started.")
            self.consult_again(trained)
            self.replace_a_pod(trained)
        voice.say("The right byte is put back:")
        self.story.until(name, "Ready", 120)

    def consult_again(self, trained: train.Trained) -> None:
        """Production answers as before."""
        with story.reach(self.cluster, NAMESPACE, f"service/{MODEL}-production", PORT) as url:
            answer = predict.ask(url, self.data)
        self.must_be(answer, trained)
        voice.good(f"version {answer.version} still answers, {answer.accuracy:.1%} right")

    def replace_a_pod(self, trained: train.Trained) -> None:
        """Kill a pod meanwhile: the one that replaces it serves the verified bytes, or does not start."""
        before = {pod["metadata"]["name"] for pod in self.pods()}
        voice.say("A pod that starts now must not get the wrong byte. One is killed:")
        voice.typed("kubectl", "delete", "pod", min(before), "--namespace", NAMESPACE)
        self.cluster.kubectl("delete", "pod", min(before), "--namespace", NAMESPACE, "--wait=false")
        new, ready = self.replacement(before)
        log = self.cluster.kubectl("logs", new, "--namespace", NAMESPACE, "--container", "modelyard-fetch").strip()
        voice.seen(f"{new}, modelyard-fetch: {log.splitlines()[-1] if log else '(nothing said)'}")
        if not ready:
            voice.good(f"{new} does not start: it fails closed rather than serve other bytes; the other pods go on serving")
            return
        with story.reach(self.cluster, NAMESPACE, f"pod/{new}", PORT) as url:
            answer = predict.ask(url, self.data)
        self.must_be(answer, trained)
        voice.good(f"{new} fetched the very object versions that were verified, hashed them again, and answers {answer.accuracy:.1%} right")

    def pods(self) -> list[story.Json]:
        """The pods of production that are not going away."""
        selector = f"modelyard.dev/model={MODEL},modelyard.dev/stage=production"
        found = story.look(self.cluster, "pods", "--namespace", NAMESPACE, "--selector", selector)
        return [pod for pod in found["items"] if not pod["metadata"].get("deletionTimestamp")]

    def replacement(self, before: set[str]) -> tuple[str, bool]:
        """The name of the pod that came instead, and whether it became ready; not if its fetch failed."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for pod in self.pods():
                name = pod["metadata"]["name"]
                if name in before:
                    continue
                if story.is_ready(pod):
                    return name, True
                if any((one.get("lastState") or {}).get("terminated") for one in pod["status"].get("initContainerStatuses") or []):
                    return name, False
            time.sleep(0.5)
        raise story.Trouble("waited 120 s for a pod instead of the one that was killed")

    def leave(self, trained: train.Trained) -> None:
        """What to try next."""
        voice.chapter("It is all still there")
        registry.table(NAMESPACE, self.environment())
        voice.say("Try:")
        for command in (
            f"export KUBECONFIG={self.cluster.kubeconfig} PATH={self.cluster.program.parent}:$PATH",
            f"kubectl get mdl,mv,promo --namespace {NAMESPACE}",
            f"kubectl describe modelversion {MODEL}-{trained.version} --namespace {NAMESPACE}",
            f".venv/bin/modelyard list --namespace {NAMESPACE} --where 'metrics.auc>0.99'",
            f".venv/bin/modelyard show {MODEL} {trained.version} --namespace {NAMESPACE}",
            f"kubectl port-forward service/{MODEL}-production {PORT} --namespace {NAMESPACE}   # then: curl localhost:{PORT}",
            f"kubectl edit model {MODEL} --namespace {NAMESPACE}   # change replicas, or break the template",
            f"xdg-open {trained.report.relative_to(BUILD.parents[1])}",
            "make cluster-down",
        ):
            voice.seen(command)


if __name__ == "__main__":
    sys.exit(main())

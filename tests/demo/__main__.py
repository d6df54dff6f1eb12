"""The main job, told as it happens: a cluster, an operator, two versions of a real model, and an attempt to change one of them."""

from __future__ import annotations

import datetime
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Final

from tests.cluster.node import access, layout
from tests.demo import place, predict, registry, store, story, train, voice

HERE: Final = pathlib.Path(__file__).parent
BUILD: Final = HERE.parents[1] / "build" / "demo"
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
            story.diagnose(here, place.newest(here), place.NAMESPACE, place.RELEASE)
        return 1
    except KeyboardInterrupt:
        voice.bad("stopped; `make demo` starts over, `make cluster-down` takes everything away")
        return 130
    return 0


class Demo:
    """The story, once the operator runs."""

    def __init__(self, here: access.Cluster) -> None:
        self.cluster = here
        self.keys = {"AWS_ACCESS_KEY_ID": here.store.access_key, "AWS_SECRET_ACCESS_KEY": here.store.secret_key}
        self.namespace = place.fresh(store.connect(here.store.endpoint, self.keys))
        self.story = story.Story(here, self.namespace)
        self.data = train.load()
        self.served: dict[str, str] = {}
        """Version → an instant at which it served in production."""

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
        self.account(first, second)
        self.forge()
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
        # What earlier runs left goes first: their namespaces with everything in them, and their objects in the store. Their ledgers stay:
        # a name that was used once means the same for ever, so every run has a namespace of its own.
        place.clear(self.cluster)
        if removed := store.clear(store.connect(self.cluster.store.endpoint, self.keys), "models", f"{MODEL}/"):
            voice.seen(f"what an earlier run left was removed, {removed} objects in the store among it")
        voice.typed("kubectl", "create", "namespace", self.namespace)
        place.make(self.cluster, self.namespace)
        self.apply("people.yaml")
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "models-s3", "namespace": self.namespace},
            "stringData": self.keys,
        }
        self.cluster.kubectl("apply", "--filename=-", input=json.dumps(secret))
        voice.seen("secret/models-s3: the keys of the object store, for reading what the Model names")
        self.apply("model.yaml")

    def apply(self, manifest: str, user: str = layout.ADMIN) -> None:
        """`kubectl apply` of one of the manifests."""
        path = HERE / "manifests" / manifest
        who = [] if user == layout.ADMIN else [f"(as {user})"]
        voice.typed(*who, "kubectl", "apply", "--namespace", self.namespace, "--filename", str(path.relative_to(HERE.parents[1])))
        voice.seen(self.cluster.kubectl("apply", "--namespace", self.namespace, "--filename", str(path), user=user))

    def register(self, trained: train.Trained, parent: str | None) -> None:
        """Push a version; every byte is read and hashed before it is Ready."""
        voice.chapter(f"{MODEL} {trained.version} is registered")
        voice.say(
            "Uploaded with its metrics, parameters, data sets and validation report. "
            "It is Ready only once the operator has read and hashed every byte."
        )
        registry.push(trained, model=MODEL, namespace=self.namespace, parent=parent, environment=self.environment())
        artifact = self.story.until(f"ModelVersion/{MODEL}-{trained.version}", "Ready", 120, FAILED)["status"]["artifact"]
        read = f"{artifact['files']} files, {artifact['bytes']} bytes, read and hashed in {artifact['seconds']:.2f} s"
        voice.good(f"{read}: {artifact['digest']}")

    def environment(self, user: str = layout.ADMIN) -> Mapping[str, str]:
        """What the `modelyard` command needs: the cluster, the keys of the store, and a way to it from this machine."""
        reach = {"KUBECONFIG": str(self.cluster.kubeconfig_for(user)), "AWS_ENDPOINT_URL": self.cluster.store.endpoint}
        return {**place.environment(self.cluster), **self.keys, **reach}

    def promote(self, trained: train.Trained) -> None:
        """Staging by itself, production on request; told as it happens."""
        voice.chapter(f"{MODEL} {trained.version} goes to staging, and to production")
        self.apply(f"promote-{trained.version}.yaml", user="alice")
        name = f"Promotion/{MODEL}-{trained.version}-production"
        self.story.until(name, "AwaitingApproval", 300, FAILED)
        self.agree(name.partition("/")[2])
        self.story.until(name, "Succeeded", 300, FAILED)
        self.served[trained.version] = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        voice.typed("kubectl", "get", "models,modelversions,promotions", "--namespace", self.namespace)
        voice.seen(self.cluster.kubectl("get", "models,modelversions,promotions", "--namespace", self.namespace))

    def agree(self, promotion: str) -> None:
        """Two people agree; who asked may not, and neither may a machine."""
        voice.say("Two people must agree. Alice, who asked, tries to approve it herself; so does Git's service account:")
        arguments = ["approve", promotion, "--gate", "risk", "--namespace", self.namespace]
        for user in ("alice", layout.GITOPS):
            voice.seen(f"as {user}:")
            registry.refused(arguments, self.environment(user))
        voice.good("both were refused, by the API server itself")
        for user, gate in (("bob", "risk"), ("carol", "medicine")):
            voice.seen(f"as {user}:")
            registry.ask(
                ["approve", promotion, "--gate", gate, "--comment", "looked at the report", "--namespace", self.namespace],
                self.environment(user),
            )

    def account(self, first: train.Trained, second: train.Trained) -> None:
        """What served when, and everything about it, from the ledger alone."""
        voice.chapter("An auditor asks")
        asked = ["explain", MODEL, "--stage", "production", "--at", self.served[first.version], "--namespace", self.namespace]
        told = registry.ask(asked, self.environment())
        if first.version not in told:
            raise story.Trouble(f"explain does not tell that {first.version} served then")
        registry.ask(["dossier", MODEL, second.version, "--to", str(BUILD), "--namespace", self.namespace], self.environment())
        registry.ask(["dossier", "verify", str(BUILD / f"{MODEL}-{second.version}.json")], self.environment())

    def forge(self) -> None:
        """Change one byte of one record; the ledger says which."""
        voice.chapter("Somebody changes one byte of the ledger")
        verify = ["ledger", "verify", MODEL, "--namespace", self.namespace]
        registry.ask(verify, self.environment())
        key = f"ledger/main/{self.namespace}/{MODEL}/{3:010}.json"
        with store.tampered(store.connect(self.cluster.store.endpoint, self.keys), "modelyard", key) as (position, size):
            voice.bad(f"s3://modelyard/{key}: byte {position} of {size} is another one now")
            registry.refused(verify, self.environment())
        voice.say("It is put back:")
        registry.ask(verify, self.environment())

    def promote_while_called(self, trained: train.Trained) -> None:
        """The same while somebody calls production all the time."""
        self.apply("caller.yaml")
        self.cluster.kubectl("wait", "pod/caller", "--for=condition=Ready", "--namespace", self.namespace, "--timeout=60s")
        self.promote(trained)
        counted: Mapping[str, int] = json.loads(self.cluster.kubectl("logs", "caller", "--namespace", self.namespace, "--tail", "1"))
        self.cluster.kubectl("delete", "pod", "caller", "--namespace", self.namespace, "--wait=false")
        told = ", ".join(f"{number} × {who}" for who, number in counted.items())
        failed = any(who.startswith("no answer") for who in counted)
        (voice.bad if failed else voice.good)(f"a pod that called production all the while was answered by: {told}")

    def consult(self, trained: train.Trained) -> None:
        """Ask production about the held-out patients."""
        voice.chapter(f"Production is asked about {len(self.data.held_out)} patients it has never seen")
        with story.reach(self.cluster, self.namespace, f"service/{MODEL}-production", PORT) as url:
            answer = predict.ask(url, self.data)
        predict.tell(answer, self.data)
        self.must_be(answer, trained)

    def must_be(self, answer: predict.Answer, trained: train.Trained) -> None:
        """The right version answered, with the right bytes, as well as its report says."""
        status = story.look(self.cluster, "modelversion", f"{MODEL}-{trained.version}", "--namespace", self.namespace)["status"]
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
        with story.reach(self.cluster, self.namespace, f"service/{MODEL}-production", PORT) as url:
            answer = predict.ask(url, self.data)
        self.must_be(answer, trained)
        voice.good(f"version {answer.version} still answers, {answer.accuracy:.1%} right")

    def replace_a_pod(self, trained: train.Trained) -> None:
        """Kill a pod meanwhile: the one that replaces it serves the verified bytes, or does not start."""
        before = {pod["metadata"]["name"] for pod in self.pods()}
        voice.say("A pod that starts now must not get the wrong byte. One is killed:")
        voice.typed("kubectl", "delete", "pod", min(before), "--namespace", self.namespace)
        self.cluster.kubectl("delete", "pod", min(before), "--namespace", self.namespace, "--wait=false")
        new, ready = self.replacement(before)
        log = self.cluster.kubectl("logs", new, "--namespace", self.namespace, "--container", "modelyard-fetch").strip()
        voice.seen(f"{new}, modelyard-fetch: {log.splitlines()[-1] if log else '(nothing said)'}")
        if not ready:
            voice.good(f"{new} does not start: it fails closed rather than serve other bytes; the other pods go on serving")
            return
        with story.reach(self.cluster, self.namespace, f"pod/{new}", PORT) as url:
            answer = predict.ask(url, self.data)
        self.must_be(answer, trained)
        voice.good(f"{new} fetched the very object versions that were verified, hashed them again, and answers {answer.accuracy:.1%} right")

    def pods(self) -> list[story.Json]:
        """The pods of production that are not going away."""
        selector = f"modelyard.dev/model={MODEL},modelyard.dev/stage=production"
        found = story.look(self.cluster, "pods", "--namespace", self.namespace, "--selector", selector)
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
        registry.table(self.namespace, self.environment())
        voice.say("Try:")
        for command in (
            f"export KUBECONFIG={self.cluster.kubeconfig} PATH={self.cluster.program.parent}:$PATH",
            f"kubectl get mdl,mv,promo --namespace {self.namespace}",
            f"kubectl describe modelversion {MODEL}-{trained.version} --namespace {self.namespace}",
            f".venv/bin/modelyard list --namespace {self.namespace} --where 'metrics.auc>0.99'",
            f".venv/bin/modelyard show {MODEL} {trained.version} --namespace {self.namespace}",
            f"kubectl port-forward service/{MODEL}-production {PORT} --namespace {self.namespace}   # then: curl localhost:{PORT}",
            f"kubectl edit model {MODEL} --namespace {self.namespace}   # change replicas, or break the template",
            f".venv/bin/modelyard history {MODEL} --namespace {self.namespace}   # with the AWS_… keys of the Secret store in modelyard-system",
            f"xdg-open {trained.report.relative_to(BUILD.parents[1])}",
            f"xdg-open {(BUILD / f'{MODEL}-{trained.version}.html').relative_to(BUILD.parents[1])}",
            "make cluster-down",
        ):
            voice.seen(command)


if __name__ == "__main__":
    sys.exit(main())

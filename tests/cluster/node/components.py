"""The command line and configuration of each program of the node."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping

from tests.cluster.node import layout, network, process


def etcd(program: pathlib.Path) -> None:
    """Start etcd; it never waits for the disk, since nothing here must outlive a power cut."""
    client, peer = f"http://127.0.0.1:{layout.ETCD_PORT}", f"http://127.0.0.1:{layout.ETCD_PORT + 1}"
    process.start("etcd", [
        program, "--data-dir", layout.STATE / "etcd", "--unsafe-no-fsync", "--log-level", "warn",
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
    ])  # fmt: skip


def api_server(program: pathlib.Path, address: str) -> None:
    """Start the API server; pods reach it through `address`, people through the loopback address."""
    pki = layout.CERTIFICATES
    process.start("api-server", [
        program, f"--etcd-servers=http://127.0.0.1:{layout.ETCD_PORT}", f"--secure-port={layout.API_PORT}", "--bind-address=0.0.0.0",
        f"--advertise-address={address}", f"--service-cluster-ip-range={layout.SERVICES}", "--allow-privileged=true",
        f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt",
        f"--token-auth-file={pki}/tokens.csv", "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local", f"--service-account-key-file={pki}/service-account.key",
        f"--service-account-signing-key-file={pki}/service-account.key", "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt", f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        # One node's worth of tests is one user in a hurry: no queueing by priority among them.
        "--max-requests-inflight=800", "--max-mutating-requests-inflight=400",
    ])  # fmt: skip


def controller_manager(program: pathlib.Path) -> None:
    """Start the controller manager."""
    pki = layout.CERTIFICATES
    kubeconfig = layout.KUBECONFIGS / "controller-manager"
    process.start("controller-manager", [
        program, f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={pki}/service-account.key", f"--root-ca-file={pki}/ca.crt",
        "--use-service-account-credentials=true", "--leader-elect=false", "--bind-address=127.0.0.1",
        f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key",
    ])  # fmt: skip


def scheduler(program: pathlib.Path) -> None:
    """Start the scheduler."""
    kubeconfig = layout.KUBECONFIGS / "scheduler"
    process.start("scheduler", [
        program, f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false", "--bind-address=127.0.0.1",
    ])  # fmt: skip


def containerd(program: pathlib.Path, shim: pathlib.Path) -> None:
    """Start containerd, with all it writes below the node's own folders."""
    root = layout.STATE / "containerd"
    config = layout.STATE / "containerd.toml"
    config.write_text(f"""
version = 3
root = "{root}/root"
state = "{layout.RUN}/containerd"
imports = []
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "{layout.CONTAINERD}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE no score can be lowered, and every sandbox would die of the attempt.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{network.CNI}/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
  Root = "{layout.RUN}/runc"
""")
    path = f"{shim.parent}:{os.environ['PATH']}"
    process.start("containerd", [program, "--config", config], {"PATH": path})


def kubelet(program: pathlib.Path, address: str) -> None:
    """Start the kubelet."""
    root = layout.STATE / "kubelet"
    resolvers = layout.STATE / "resolv.conf"
    resolvers.write_text(network.resolvers())
    config = _write("kubelet", {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{layout.CERTIFICATES}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{layout.CONTAINERD}",
        "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{layout.CGROUP}", "failCgroupV1": False, "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "clusterDNS": [layout.DNS_SERVICE], "clusterDomain": "cluster.local", "resolvConf": str(resolvers),
        # The disk is not the node's own: how full others make it must not evict pods or images.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "podLogsDir": f"{layout.STATE}/pods", "volumePluginDir": f"{layout.STATE}/volume-plugins",
        "healthzPort": 0, "readOnlyPort": 0, "maxPods": 200, "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "5s", "syncFrequency": "30s", "registerNode": True,
    })  # fmt: skip
    process.start("kubelet", [
        program, f"--config={config}", f"--kubeconfig={layout.KUBECONFIGS}/kubelet", f"--hostname-override={layout.NODE}",
        f"--node-ip={address}", f"--root-dir={root}", f"--cert-dir={root}/pki",
    ])  # fmt: skip


def proxy(program: pathlib.Path) -> None:
    """Start kube-proxy."""
    config = _write("proxy", {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{layout.KUBECONFIGS}/proxy"},
        "mode": "iptables", "clusterCIDR": layout.PODS, "hostnameOverride": layout.NODE,
        # The machine's own connection tracking limits stay as they are.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
        "iptables": {"minSyncPeriod": "0s"},
    })  # fmt: skip
    process.start("proxy", [program, f"--config={config}"])


def _write(name: str, config: Mapping[str, object]) -> pathlib.Path:
    file = layout.STATE / f"{name}.json"
    file.write_text(json.dumps(config, indent=1))
    return file

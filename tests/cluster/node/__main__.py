"""`python -m tests.cluster.node`: a real Kubernetes for tests and the demo, with the standard library only."""

from __future__ import annotations

import argparse
import pathlib
import sys

from tests.cluster.node import image, layout, node


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.node", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("up", help="start the cluster, or leave it as it is when it is well")
    verbs.add_parser("down", help="stop it and remove all it left")
    verbs.add_parser("status", help="what runs")
    kubeconfig = verbs.add_parser("kubeconfig", help="print a user's kubeconfig")
    kubeconfig.add_argument("user", nargs="?", default=layout.ADMIN, choices=[*layout.USERS, layout.GITOPS])
    load = verbs.add_parser("load", help="bring an image archive into the cluster")
    load.add_argument("archive", type=pathlib.Path, metavar="IMAGE_TAR")
    build = verbs.add_parser("image", help="build an image and print where its archive is")
    build.add_argument("name", choices=["operator"])
    arguments = parser.parse_args()
    print_ = sys.stdout.write
    cluster = node
    match arguments.verb:
        case "up":
            cluster.up()
        case "down":
            cluster.down()
        case "status":
            print_("".join(f"{name:20} {state}\n" for name, state in cluster.status().items()))
        case "kubeconfig":
            print_(cluster.cluster().kubeconfig_for(arguments.user).read_text() + "\n")
        case "load":
            cluster.cluster().load(arguments.archive)
        case "image":
            print_(f"{image.build(layout.REPOSITORY / arguments.name / 'Dockerfile', 'modelyard:dev')}\n")


if __name__ == "__main__":
    main()

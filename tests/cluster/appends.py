"""One operator that records numbered facts until it is killed: python -m tests.cluster.appends ENDPOINT CHAIN FROM TO"""

from __future__ import annotations

import asyncio
import datetime
import sys

from modelyard.content import location
from modelyard.edge.bucket import chains
from modelyard.edge.s3 import store
from modelyard.ledger import record
from tests.cluster import stores


def fact(number: int) -> record.LedgerEntry:
    subject = record.Subject("ModelVersion", f"fraud-{number}", f"uid-{number}", 1)
    return record.entry(record.Action.DESCRIBED, record.BY_OPERATOR, subject, detail={"version": str(number), "changed": ["tags"]})


async def main(endpoint: str, model: str, first: int, last: int) -> None:
    """Tells every fact, five of them at once, and does not know which were told by whoever died before."""
    client = store.Store(location.Address(endpoint, credentials=stores.CREDENTIALS))
    writer = chains.Ledger(client, location.Place("modelyard", ""), "main", lambda: datetime.datetime.now(datetime.UTC), snapshot_every=20)
    print(await writer.begin("operator"), flush=True)
    chain = writer.chain("risk", model)
    for number in range(first, last, 5):
        await asyncio.gather(*(writer.append(chain, [fact(one)]) for one in range(number, min(number + 5, last))))
        print(number, flush=True)
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))

"""`modelyard operator`: run the operator, as the image does."""

from __future__ import annotations

import datetime
import gc
import json
import logging
import sys
from typing import Any, Final

import pydantic
import uvloop

from modelyard import edge, operator, settings

GARBAGE: Final = 50_000
"""Objects made between two looks for cycles among them. With the cache in memory each look is long: at Python's 700, every seventh second of ours."""


class JsonLines(logging.Formatter):
    """Format one JSON object a line: time, level, logger, message, and the object concerned."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as one line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for extra in ("object", "reason"):
            if value := getattr(record, extra, None):
                line[extra] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def operate() -> int:
    """Run until stopped; return 0 when stopped, 1 when it could not continue, 2 when its settings are wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    try:
        config = settings.Settings()
        if not config.fetch_image:
            raise ValueError("MODELYARD_FETCH_IMAGE is not set: it names the image of the init container, normally the operator's own")
    except (pydantic.ValidationError, ValueError) as error:
        print(f"modelyard operator: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    gc.freeze()  # imported objects stay
    gc.set_threshold(GARBAGE, 20, 100)
    try:
        uvloop.run(operator.operate(config))
    except edge.Unavailable as trouble:
        logging.getLogger("modelyard").critical("%s", trouble.message)
        return 1
    return 0

"""Authorization in the API server: DESIGN 2.5 in CEL, a module for each kind."""

from __future__ import annotations

from typing import Final

from modelyard.api.access import cel, changes, metadata, model, modelversion, operator, promotion, serving

POLICIES: Final = (
    model.POLICY, modelversion.POLICY, promotion.POLICY, serving.STATUS, serving.SERVING, operator.POLICY, changes.POLICY, metadata.POLICY,
)  # fmt: skip
STAMPS: Final = (promotion.STAMP, changes.STAMP)
CHANGES: Final = cel.CHANGES
PROBE: Final = cel.PROBE

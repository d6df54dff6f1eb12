"""Labels and annotations of the objects that the operator makes, and what they are selected by."""

from __future__ import annotations

from typing import Final

from modelyard.api import meta

MANAGED_BY: Final = "app.kubernetes.io/managed-by"


MANAGER: Final = "modelyard"


MODEL: Final = f"{meta.GROUP}/model"


STAGE: Final = f"{meta.GROUP}/stage"


ROLE: Final = f"{meta.GROUP}/role"


VERSION: Final = f"{meta.GROUP}/version"


DIGEST: Final = f"{meta.GROUP}/digest"


TEMPLATE: Final = f"{meta.GROUP}/template"
AUTOMATIC: Final = f"{meta.GROUP}/automatic"
"""The label on promotions that autoPromote made."""

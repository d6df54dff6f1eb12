"""What users write: the three kinds. Pydantic models here are the one source of the CRDs and their manuals."""

from modelyard.api.meta import API_VERSION, GROUP, VERSION, Condition, ConditionStatus, ObjectMeta, Resource
from modelyard.api.model import Model
from modelyard.api.modelversion import ModelVersion, VersionPhase
from modelyard.api.promotion import Phase, Promotion
from modelyard.api.stage import Stage, StageStatus

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "Condition",
    "ConditionStatus",
    "Model",
    "ModelVersion",
    "ObjectMeta",
    "Phase",
    "Promotion",
    "Resource",
    "Stage",
    "StageStatus",
    "VersionPhase",
]

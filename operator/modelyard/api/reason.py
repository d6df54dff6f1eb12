"""Reason: the closed list of words that conditions, Events, metrics and the ledger use for why something is as it is."""

from __future__ import annotations

import enum
from typing import Self


class Reason(enum.StrEnum):
    """One word for machines; the message beside it is for people."""

    # artifacts
    VERIFIED = "Verified", "Every byte was read and has the declared digest."
    ARTIFACT_INCOMPLETE = "ArtifactIncomplete", "Bytes are missing or differ from the digest: an upload in progress, looked at again."
    DIGEST_MISMATCH = (
        "DigestMismatch",
        "The bytes still differ after `verification.patience`: correct the upload or register another version.",
    )
    CHANGED = "Changed", "Bytes that were verified before are different or gone now: the version is quarantined until they are back."
    PATH_NOT_ALLOWED = "PathNotAllowed", "The URI is not below the Model's `spec.storage.uri`."
    ENDPOINT_NOT_ALLOWED = "EndpointNotAllowed", "The Model's storage endpoint is not on the operator's allow-list."
    PATH_REFUSED = (
        "PathRefused",
        "An object's key cannot be a file's path (empty, `.` or `..` segment, control character, backslash, too long).",
    )
    TOO_MANY_FILES = "TooManyFiles", "More than 25,000 files: pack them."
    EVIDENCE_INCOMPLETE = "EvidenceIncomplete", "An evidence object is missing or its bytes differ."
    DOCUMENTATION_INCOMPLETE = "DocumentationIncomplete", "The tier's documentation lacks something; the message names it."
    DOCUMENTATION_COMPLETE = "DocumentationComplete", "Everything that the Model's risk tier demands is there."
    REUSED = "Reused", "This name meant other bytes or other metadata once; it can never be used again."
    # the world
    STORE_UNREACHABLE = "StoreUnreachable", "The object store does not answer."
    STORE_FORBIDDEN = "StoreForbidden", "The object store refused the credentials or what they may read."
    STORE_BUCKET_MISSING = "StoreBucketMissing", "The bucket does not exist."
    STORE_CERTIFICATE = "StoreCertificate", "The store's TLS certificate is not trusted: set `spec.storage.caBundle`."
    STORE_THROTTLED = "StoreThrottled", "The store asks for fewer requests."
    STORE_TRUNCATED = "StoreTruncated", "A read ended before the object did."
    STORE_REPLACED = "StoreReplaced", "An object was replaced while it was read."
    STORE_FAILED = "StoreFailed", "The store answered with an error; the message has it."
    CREDENTIALS_MISSING = "CredentialsMissing", "The Secret or ConfigMap that the Model names does not exist or lacks a key."
    CLUSTER_UNAVAILABLE = "ClusterUnavailable", "The API server does not answer, or refused the operator."
    LEDGER_UNAVAILABLE = "LedgerUnavailable", "The operator's own bucket does not answer: decisions wait."
    # objects
    READY = "Ready", "As it is asked to be."
    INVALID = "Invalid", "The object cannot be read; the message names the field."
    MODEL_MISSING = "ModelMissing", "The Model does not exist yet."
    VERSION_MISSING = "VersionMissing", "The ModelVersion does not exist yet."
    VERSION_NOT_READY = "VersionNotReady", "The ModelVersion is not Ready."
    VERSION_RETIRED = "VersionRetired", "The ModelVersion is Deprecated or Retired: nothing new is promoted."
    MODEL_RETIRED = "ModelRetired", "The Model is Retired: nothing is promoted."
    STAGE_MISSING = "StageMissing", "The Model has no stage of that name."
    QUARANTINED = "Quarantined", "The version's bytes changed; it is not promoted anywhere until they are back."
    TEMPLATE_INVALID = "TemplateInvalid", "The API server refuses what a stage's template renders to."
    NAME_TAKEN = "NameTaken", "An object of that name exists and is not Modelyard's; it is never taken over."
    PROGRESSING = "Progressing", "On its way; nothing to do."
    # promotions
    WAITING_FOR_STAGE = "WaitingForStage", "Waits for a stage of `after`."
    WAITING_FOR_PROMOTION = "WaitingForPromotion", "Another promotion holds the stage."
    FROZEN = "Frozen", "The stage is frozen."
    GATE_NOT_SUPPORTED = "GateNotSupported", "The stage declares a gate that this release cannot judge, so it holds."
    STRATEGY_NOT_SUPPORTED = "StrategyNotSupported", "The stage declares a rollout strategy that this release does not have, so it holds."
    GATES_PASSED = "GatesPassed", "Every gate of the stage holds."
    GATES_FAILED = "GatesFailed", "A gate does not hold; `status.gates` says which."
    ROLLING_OUT = "RollingOut", "Pods of the version are being started."
    PAUSED = "Paused", "`spec.paused` is set: a person must go on."
    SUCCEEDED = "Succeeded", "The stage stands for the version."
    SUPERSEDED = "Superseded", "A later promotion was granted the stage."
    ROLLED_BACK = "RolledBack", "The rollout did not become available and was put back."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "Not available within `progressDeadline`."
    ABORTED = "Aborted", "A person said so."
    REJECTED = "Rejected", "An approver said no."
    ALREADY_RAN = "AlreadyRan", "A Promotion of this name ran before; it shows its recorded outcome."

    text: str

    def __new__(cls, value: str, text: str = "") -> Self:
        """A word with the sentence that the manuals print beside it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

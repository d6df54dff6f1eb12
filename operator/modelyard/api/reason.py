"""Reason: the closed list of words that conditions, Events, metrics and the ledger use for why something is as it is."""

from __future__ import annotations

from typing import Self

from modelyard.api import words


class Reason(words.Word):
    """One word for machines; the message beside it is for people."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """What a newer release wrote into a status or a record stays as it is: an older one must not stumble over it."""
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_, word._value_, word.text = value, value, "A reason of another release."
        return word

    # artifacts
    VERIFIED = "Verified", "Every byte was read and has the declared digest."
    ARTIFACT_INCOMPLETE = "ArtifactIncomplete", "Bytes are missing or differ from the digest: an upload in progress, looked at again."
    DIGEST_MISMATCH = (
        "DigestMismatch",
        "The bytes still differ after `verification.patience`: correct the upload or register another version.",
    )
    CHANGED = "Changed", "Bytes that were verified before are different or gone now: the version is quarantined until they are back."
    PATH_NOT_ALLOWED = "PathNotAllowed", "The URI is not below the Model's `spec.storage.uri`, or that is in the operator's own bucket."
    ENDPOINT_NOT_ALLOWED = "EndpointNotAllowed", "The Model's storage endpoint is not on the operator's allow-list."
    PATH_REFUSED = (
        "PathRefused",
        "An object's key cannot be a file's path (empty, `.` or `..` segment, control character, backslash, too long).",
    )
    TOO_MANY_FILES = "TooManyFiles", "More than 25,000 files: pack them."
    EVIDENCE_INCOMPLETE = "EvidenceIncomplete", "An evidence object is missing or its bytes differ."
    DOCUMENTATION_INCOMPLETE = "DocumentationIncomplete", "The tier's documentation lacks something; the message names it."
    DOCUMENTATION_COMPLETE = "DocumentationComplete", "Everything that the Model's risk tier demands is there."
    REUSED = (
        "Reused",
        (
            "This name meant something else before: a version that was verified with other bytes or metadata, or a Promotion that ran with"
            " another spec; the message says what can be done."
        ),
    )
    # the world
    STORE_UNREACHABLE = "StoreUnreachable", "The object store does not answer."
    STORE_FORBIDDEN = "StoreForbidden", "The object store refused the credentials or what they may read."
    STORE_BUCKET_MISSING = "StoreBucketMissing", "The bucket does not exist."
    STORE_CERTIFICATE = "StoreCertificate", "The store's TLS certificate is not trusted: set `spec.storage.caBundle`."
    STORE_THROTTLED = "StoreThrottled", "The store asks for fewer requests."
    STORE_LIMIT_EXCEEDED = (
        "StoreLimitExceeded",
        "The store answers with more, or more slowly, than is taken from any store; the message has the limit.",
    )
    STORE_TRUNCATED = "StoreTruncated", "A read ended before the object did."
    STORE_REPLACED = "StoreReplaced", "An object was replaced while it was read."
    STORE_FAILED = "StoreFailed", "The store answered with an error; the message has it."
    CREDENTIALS_MISSING = "CredentialsMissing", "The Secret or ConfigMap that the Model names does not exist or lacks a key."
    CLUSTER_UNAVAILABLE = "ClusterUnavailable", "The API server does not answer, or refused the operator."
    RESTORED = "Restored", "Objects that were lost without having been retired were brought back from the ledger."
    BEHIND = "Behind", "The ledger is ahead of the cluster: an older backup was restored. Apply the newer spec, or run `modelyard restore`."
    LEDGER_UNAVAILABLE = "LedgerUnavailable", "The operator's own bucket does not answer: decisions wait."
    LEDGER_TAMPERED = (
        "LedgerTampered",
        "The ledger is not what it was: look at it with `modelyard ledger verify`, accept it with `modelyard ledger accept`.",
    )
    LEDGER_UNPROVEN = (
        "LedgerUnproven",
        (
            "No record is signed by a key that this operator holds, so nothing of the ledger is acted upon: bring objects back in your own name with"
            " `modelyard restore`, and say what the records are with `modelyard ledger accept`."
        ),
    )
    INTERNAL_ERROR = (
        "InternalError",
        "Something that the operator does not foresee: the message has an id, which is in the operator's log with the trace; tried again.",
    )
    NOT_LEADING = "NotLeading", "Another operator leads now; this one stops."
    REGISTRY_TAKEN = (
        "RegistryTaken",
        "The registry in the bucket belongs to another cluster: `modelyard restore --take-over` takes it over.",
    )
    # objects
    READY = "Ready", "As it is asked to be."
    INVALID = "Invalid", "The object cannot be read; the message names the field."
    MODEL_MISSING = "ModelMissing", "The Model does not exist yet."
    VERSION_MISSING = "VersionMissing", "The ModelVersion does not exist yet."
    VERSION_NOT_READY = "VersionNotReady", "The ModelVersion is not Ready."
    VERSION_RETIRED = "VersionRetired", "The ModelVersion is Deprecated or Retired: nothing new is promoted."
    MODEL_RETIRED = "ModelRetired", "The Model is Retired: nothing is promoted."
    DEPRECATED = "Deprecated", "The version is Deprecated: nothing new is promoted; where it serves, it serves on."
    RETIRED = "Retired", "As it is asked to be: it serves nowhere, and is not looked at any more."
    STILL_SERVING = "StillServing", "The version is to be Retired and still runs: promote another version there, or retire the Model."
    SERVES_DEPRECATED = "ServesDeprecated", "The current version of a stage is Deprecated or to be Retired: promote another one there."
    ALIASES_UNRESOLVED = (
        "AliasesUnresolved",
        "An alias points at a version that does not exist yet, or is Retired: register it, or point the alias elsewhere.",
    )
    DECOMMISSIONED = "Decommissioned", "A stage was taken down: its Model was retired, or the stage removed."
    HOLD_REFUSED = (
        "HoldRefused",
        "Legal hold could not be set on, or lifted from, the objects of what runs; tried again at the next recheck.",
    )
    HOLD_UNSUPPORTED = "HoldUnsupported", "The bucket has no Object Lock, so nothing in it can be held."
    ORPHANED = "Orphaned", "It serves and belongs to no Model: it is reported, and never deleted by the operator."
    STAGE_MISSING = "StageMissing", "The Model has no stage of that name."
    QUARANTINED = "Quarantined", "The version's bytes changed; it is not promoted anywhere until they are back."
    TEMPLATE_INVALID = "TemplateInvalid", "The API server refuses what a stage's template renders to."
    TEMPLATE_WAITS_FOR_APPROVAL = (
        "TemplateWaitsForApproval",
        "A gate of `scope: Template` asks people about the changed template: promote the stage's version there again, and have that approved.",
    )
    NAME_TAKEN = "NameTaken", "An object of that name exists and is not Modelyard's; it is never taken over."
    PROGRESSING = "Progressing", "On its way; nothing to do."
    # promotions
    WAITING_FOR_STAGE = "WaitingForStage", "Waits for a stage of `after`."
    WAITING_FOR_PROMOTION = "WaitingForPromotion", "Another promotion holds the stage."
    FROZEN = "Frozen", "The stage is frozen."
    SERVED_TOO_SHORT = "ServedTooShort", "The version has not served long enough in a stage of `after`."
    METRIC_MISSING = "MetricMissing", "A metric that a gate compares is not there: it can be added."
    METRIC_INVALID = "MetricInvalid", "A metric that a gate compares is no finite number."
    METRIC_FAILED = "MetricFailed", "A metric is not as good as the stage demands."
    EVIDENCE_MISSING = "EvidenceMissing", "The version has no evidence of a type that the stage demands: it can be added."
    EVIDENCE_NOT_VERIFIED = "EvidenceNotVerified", "The bytes of the version's evidence are not verified, so it does not count."
    REQUESTER_UNKNOWN = (
        "RequesterUnknown",
        "Nobody knows who asked, so nobody's approval can be told from theirs: create the Promotion anew.",
    )
    REGISTRANT_UNKNOWN = (
        "RegistrantUnknown",
        "Nobody knows who registered the version, so nobody's approval can be told from theirs: register it as another version.",
    )
    AWAITING_APPROVAL = "AwaitingApproval", "Every other gate holds; people are asked."
    APPROVED = "Approved", "Enough people agree."
    REQUESTED_BY_MACHINE = (
        "RequestedByMachine",
        "A service account asked: whose work this is, is known to what told it to, such as a Git host.",
    )
    POLICIES_MISSING = "PoliciesMissing", "The admission policies are not effective: nothing that needs an approval is granted."
    GATE_NOT_SUPPORTED = "GateNotSupported", "The stage declares a gate that this release cannot judge, so it holds."
    STRATEGY_NOT_SUPPORTED = "StrategyNotSupported", "The stage declares a rollout strategy that this release does not have, so it holds."
    GATES_PASSED = "GatesPassed", "Every gate of the stage holds."
    GATES_FAILED = "GatesFailed", "A gate does not hold; `status.gates` says which."
    ROLLING_OUT = "RollingOut", "Pods of the version are being started."
    PAUSED = "Paused", "`spec.paused` is set: a person must go on."
    SUCCEEDED = "Succeeded", "The version is the stage's current version."
    SUPERSEDED = "Superseded", "A later promotion was granted the stage."
    ROLLED_BACK = "RolledBack", "The rollout did not become available and was put back."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "Not available within `progressDeadline`."
    ABORTED = "Aborted", "A person said so."
    REJECTED = "Rejected", "An approver said no."
    ALREADY_RAN = "AlreadyRan", "A Promotion of this name ran before; it shows its recorded outcome."

"""Symbolic error codes of AWS, Google and the language-model APIs: read before the status that comes with them."""

from collections.abc import Mapping
from typing import Any

from ..failure import Effect, FailureType
from ..look import Look, as_int, as_str
from ..verdict import Verdict
from . import grpc, hints, http, names

_T = FailureType


def _codes(*rows: tuple[FailureType, str]) -> Mapping[str, FailureType]:
    return {code: kind for kind, codes in rows for code in codes.split()}


# botocore.retries.standard, and https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_AWS = _codes(
    (_T.TRANSIENT_RATE_LIMIT, """
        Throttling ThrottlingException ThrottledException RequestThrottledException TooManyRequestsException
        ProvisionedThroughputExceededException TransactionInProgressException RequestLimitExceeded
        BandwidthLimitExceeded
        LimitExceededException RequestThrottled SlowDown PriorRequestNotComplete EC2ThrottledException
        ServiceQuotaExceededException MaxMessagesPerSecondExceeded Throttled TooManyRequests
        KMSThrottlingException"""),
    (_T.TRANSIENT_TIMEOUT, "RequestTimeout RequestTimeoutException"),
    (_T.TRANSIENT_NETWORK, "IncompleteBody"),
    (_T.EXTERNAL_API_DOWN, """
        ServiceUnavailable ServiceUnavailableException Unavailable ModelNotReadyException"""),
    (_T.TRANSIENT_DATABASE, "TransactionConflictException TransactionCanceledException"),
    (_T.TRANSIENT_RESOURCE, "InsufficientInstanceCapacity InsufficientHostCapacity"),
    (_T.PERMANENT_AUTH, """
        AccessDenied AccessDeniedException UnauthorizedOperation ExpiredToken ExpiredTokenException InvalidClientTokenId
        SignatureDoesNotMatch UnrecognizedClientException InvalidAccessKeyId InvalidToken TokenRefreshRequired
        AuthFailure IncompleteSignature MissingAuthenticationToken OptInRequired NotAuthorized NotAuthorizedException
        AuthorizationError InvalidSignatureException AllAccessDisabled AccountProblem KMSAccessDeniedException"""),
    (_T.PERMANENT_NOT_FOUND, """
        NoSuchKey NoSuchBucket NoSuchUpload NoSuchEntity ResourceNotFoundException NotFound NotFoundException 404
        QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue"""),
    (_T.PERMANENT_CONFLICT, """
        ConditionalCheckFailedException ConditionalCheckFailed PreconditionFailed BucketAlreadyExists
        BucketAlreadyOwnedByYou ResourceInUseException ResourceConflictException EntityAlreadyExists
        OperationAborted DependencyViolation ConflictException BucketNotEmpty InvalidBucketState
        IdempotentParameterMismatch DuplicateTransactionException"""),
    (_T.PERMANENT_VALIDATION, """
        ValidationException ValidationError InvalidParameterValue InvalidParameterValueException
        InvalidParameterCombination
        InvalidParameterException MissingParameter MalformedXML InvalidArgument EntityTooLarge EntityTooSmall BadDigest
        InvalidRequest InvalidDigest KeyTooLongError MessageRejected InvalidBucketName RequestEntityTooLargeException
        ItemCollectionSizeLimitExceededException SerializationException InvalidInput InvalidRange
        MalformedPolicyDocument
        InvalidMessageContents MalformedQueryString"""),
    (_T.PERMANENT_CODE_BUG, """
        InvalidAction UnknownOperationException NotImplemented MethodNotAllowed UnsupportedOperation
        OperationNotPermittedException"""),
    (_T.CONFIG_MISSING_SETTING, """
        PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException InvalidEndpointException
        MissingRegion"""),
)  # fmt: skip
_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})


def read_aws(look: Look) -> Verdict | None:
    """`ClientError.response["Error"]["Code"]`, then the words of the code, then its HTTP status."""
    response = look.read("response")
    if type(response) is not dict:
        return None
    error, meta = response.get("Error"), response.get("ResponseMetadata")
    code = as_str(error.get("Code")) if type(error) is dict else None
    meta = meta if type(meta) is dict else {}
    status = as_int(meta.get("HTTPStatusCode"))
    verdict = _aws_verdict(look, code, status)
    if verdict is None:
        return None
    return hints.applied(verdict, hints.from_headers(look, meta.get("HTTPHeaders"), status), wanted=None)


def _aws_verdict(look: Look, code: str | None, status: int | None) -> Verdict | None:
    if code in _CLOCK:
        return Verdict(type=_T.PERMANENT_AUTH, rule=f"aws.{code}", detail=f"AWS {code}", reason="clock")
    kind = _AWS.get(code or "")
    if kind is not None:
        return Verdict(type=kind, rule=f"aws.{code}", detail=f"AWS {code}", effect=Effect.REJECTED)
    known = status is not None and 300 <= status < 600  # noqa: PLR2004 - what HTTP calls an error
    if known and status != 400 and status is not None:  # noqa: PLR2004 - AWS puts everything into 400
        return http.verdict_of_status(status, look)
    by_words = names.verdict_of_code("aws", code) if code else None
    return by_words or (http.verdict_of_status(status, look) if known and status is not None else None)


def read_google(look: Look) -> Verdict | None:
    """google-api-core: over gRPC its gRPC code, over REST its HTTP status and reason; RetryInfo among the details."""
    if "google" not in look.facts.roots or look.read("grpc_status_code") is None:
        return None
    response = look.read("response")
    over_grpc = response is not None and callable(look.read("code", of=response))
    name = look.string("name", of=look.read("grpc_status_code"))
    status = look.integer("code")
    if name is not None and (over_grpc or status not in (429, 500)):
        verdict: Verdict | None = grpc.verdict_of_code(name, look)
    else:
        verdict = http.read(look)
    hint = _retry_info(look)
    return verdict if verdict is None or hint is None else hints.applied(verdict, hint, wanted=None)


def _retry_info(look: Look) -> Any:
    details = look.read("details")
    for detail in details[:20] if type(details) in (list, tuple) else ():
        delay = look.read("retry_delay", of=detail)
        if delay is None and type(detail) is dict:
            delay = detail.get("retryDelay")
        text = as_str(delay)
        seconds = None if delay is None else hints.duration(look, text.rstrip("s") if text else delay)
        if seconds is not None:
            return hints.seconds_hint(seconds, "google.rpc.RetryInfo")
    return None


# https://platform.openai.com/docs/guides/error-codes and https://docs.claude.com/en/api/errors: `type` or `code`
_MODEL_APIS = _codes(
    (_T.TRANSIENT_RATE_LIMIT, "rate_limit_exceeded rate_limit_error slow_down requests tokens"),
    (_T.EXTERNAL_API_DOWN, "overloaded_error api_error server_error engine_overloaded"),
    (_T.PERMANENT_AUTH, "authentication_error permission_error invalid_api_key"),
    (_T.PERMANENT_VALIDATION, """
        invalid_request_error context_length_exceeded content_filter content_policy_violation request_too_large"""),
    (_T.PERMANENT_NOT_FOUND, "not_found_error model_not_found"),
    (_T.TRANSIENT_TIMEOUT, "timeout_error"),
)  # fmt: skip


def read_symbolic(look: Look) -> Verdict | None:
    """A symbolic `code`, `type` or `error` on an error without a status: streams, chat platforms, payment SDKs."""
    for code in _symbols(look):
        verdict = http.verdict_of_billing_code(code)
        if verdict is not None:
            return verdict
        kind = _MODEL_APIS.get(code)
        if kind is not None:
            return Verdict(type=kind, rule=f"code.{code}", detail=f"error code {code}", confidence=0.95)
        by_words = names.verdict_of_code("code", code)
        if by_words is not None:
            return hints.applied(by_words, hints.from_attributes(look), wanted=None)
    return None


def _symbols(look: Look) -> list[str]:
    """Short single words without blanks: codes, not sentences."""
    found = [look.string(name) for name in ("code", "error_code", "type", "error")]
    for holder in ("response", "body"):
        value = look.read(holder)
        data = value if type(value) is dict else look.read("data", of=value) if value is not None else None
        if type(data) is dict:
            found.append(as_str(data.get("error")) or as_str(data.get("code")))
    return [code for code in found if code and len(code) <= 64 and " " not in code]  # noqa: PLR2004 - longer is a sentence

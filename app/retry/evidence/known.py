"""Classes that mean one thing, by ``package.Class``. A table, so that no library is imported to be recognised."""

from collections.abc import Iterable

from ..failure import Effect, FailureType
from ..verdict import Strength, Verdict

_T = FailureType

# A class that means one thing, whatever it wraps.
_EXACT: tuple[tuple[FailureType, str], ...] = (
    (
        _T.TRANSIENT_TIMEOUT,
        """
        TimeoutError socket.timeout asyncio.TimeoutError concurrent.TimeoutError multiprocessing.TimeoutError
        subprocess.TimeoutExpired billiard.SoftTimeLimitExceeded billiard.TimeLimitExceeded celery.TimeoutError
        httpx.TimeoutException httpcore.TimeoutException requests.Timeout urllib3.TimeoutError
        urllib3.ConnectTimeoutError urllib3.ReadTimeoutError aiohttp.ServerTimeoutError
        openai.APITimeoutError anthropic.APITimeoutError redis.TimeoutError pymongo.NetworkTimeout
        pymongo.ExecutionTimeout pymongo.WTimeoutError botocore.ConnectTimeoutError botocore.ReadTimeoutError
        aiosmtplib.SMTPTimeoutError kafka.KafkaTimeoutError kafka.RequestTimedOutError
        cassandra.OperationTimedOut cassandra.ReadTimeout cassandra.WriteTimeout
        elastic_transport.ConnectionTimeout elasticsearch.ConnectionTimeout opensearchpy.ConnectionTimeout
        pika.AMQPHeartbeatTimeout google.DeadlineExceeded asyncssh.TimeoutError trio.TooSlowError
        botocore.WaiterError nats.TimeoutError grpc.FutureTimeoutError""",
    ),
    (
        _T.TRANSIENT_NETWORK,
        """
        ConnectionRefusedError ConnectionResetError ConnectionAbortedError BrokenPipeError
        smtplib.SMTPServerDisconnected aiosmtplib.SMTPServerDisconnected
        aiosmtplib.SMTPConnectResponseError
        http.RemoteDisconnected http.IncompleteRead http.BadStatusLine
        asyncio.IncompleteReadError urllib3.ProtocolError urllib3.NameResolutionError urllib3.IncompleteRead
        urllib3.InvalidChunkLength httpx.RemoteProtocolError httpcore.RemoteProtocolError
        requests.ChunkedEncodingError requests.ProxyError aiohttp.ServerDisconnectedError
        aiohttp.ClientConnectorDNSError aiohttp.ClientPayloadError aiohttp.ClientConnectionResetError
        botocore.ConnectionClosedError botocore.ResponseStreamingError botocore.IncompleteReadError
        ssl.SSLEOFError ssl.SSLZeroReturnError ssl.SSLSyscallError
        pika.StreamLostError pika.ConnectionClosed pika.ConnectionOpenAborted
        amqp.RecoverableConnectionError amqp.ConnectionForced amqp.ConsumerCancelled pika.ConsumerCancelled
        paramiko.NoValidConnectionsError nats.ConnectionClosedError nats.NoServersError
        websockets.ConnectionClosed websockets.ConnectionClosedError websockets.InvalidMessage
         dns.NoNameservers ldap.SERVER_DOWN ldap.CONNECT_ERROR ldap3.LDAPSocketOpenError
        ldap3.LDAPSocketReceiveError ldap3.LDAPSocketSendError ldap3.LDAPSessionTerminatedByServerError""",
    ),
    (
        _T.TRANSIENT_RATE_LIMIT,
        """
        openai.RateLimitError anthropic.RateLimitError anthropic.RampLimitExceededError
        google.TooManyRequests google.ResourceExhausted kafka.ThrottlingQuotaExceededError
         pyrate_limiter.BucketFullException
        github.RateLimitExceededException""",
    ),
    (
        _T.TRANSIENT_RESOURCE,
        """
        httpx.PoolTimeout httpcore.PoolTimeout urllib3.EmptyPoolError urllib3.FullPoolError
        redis.MaxConnectionsError redis.OutOfMemoryError kombu.LimitExceeded kombu.ConnectionLimitExceeded
        kombu.ChannelLimitExceeded pika.NoFreeChannels pymongo.WaitQueueTimeoutError
        queue.Full asyncio.QueueFull BlockingIOError billiard.RestartFreqExceeded
        pika.ConnectionBlockedTimeout amqp.Blocked amqp.ResourceError openai.WebSocketQueueFullError""",
    ),
    (
        _T.TRANSIENT_DATABASE,
        """
        psycopg_pool.PoolTimeout psycopg_pool.TooManyRequests sqlalchemy.TimeoutError
        sqlalchemy.DisconnectionError sqlalchemy.InvalidatePoolError sqlalchemy.StaleDataError
        asyncpg.ConnectionDoesNotExistError asyncpg.ConnectionFailureError asyncpg.CannotConnectNowError
        asyncpg.PostgresConnectionError asyncpg.TargetServerAttributeNotMatched
        redis.BusyLoadingError redis.TryAgainError redis.ClusterDownError redis.MasterDownError redis.ReadOnlyError
        redis.WatchError redis.SlotNotCoveredError redis.LockNotOwnedError redis.MovedError
        redis.AskError redis.ClusterError redis.RedisClusterException
        pymongo.AutoReconnect pymongo.ConnectionFailure pymongo.CursorNotFound pymongo.ServerSelectionTimeoutError
        pymongo.NotPrimaryError cassandra.Unavailable cassandra.CoordinationFailure
        procrastinate.ConnectorException django.InterfaceError peewee.InterfaceError
        neo4j.TransientError neo4j.ServiceUnavailable neo4j.SessionExpired""",
    ),
    (
        _T.EXTERNAL_API_DOWN,
        """
        openai.InternalServerError anthropic.InternalServerError anthropic.OverloadedError
        anthropic.ServiceUnavailableError anthropic.GatewayTimeoutError anthropic.RetryableError
        aiohttp.ContentTypeError requests.JSONDecodeError httpx.DecodingError requests.ContentDecodingError
        urllib3.DecodeError google.ServiceUnavailable google.BadGateway
        google.GatewayTimeout google.Unknown botocore.CapacityNotAvailableError pybreaker.CircuitBreakerError
        circuitbreaker.CircuitBreakerError kafka.NoBrokersAvailable
        google.MissingStatusHeaderError google.TransferStalledError""",
    ),
    (
        _T.PERMANENT_VALIDATION,
        """
        pydantic_core.ValidationError pydantic.ValidationError marshmallow.ValidationError jsonschema.ValidationError
        django.ValidationError json.JSONDecodeError simplejson.JSONDecodeError orjson.JSONDecodeError
        orjson.JSONEncodeError msgspec.ValidationError msgspec.DecodeError attrs.ValidationError
        UnicodeError UnicodeDecodeError UnicodeEncodeError UnicodeTranslateError decimal.DecimalException
        decimal.InvalidOperation binascii.Error csv.Error xml.ParseError xml.SAXParseException
        xml.SAXException xml.ExpatError pyexpat.ExpatError expat.ExpatError yaml.YAMLError zlib.error gzip.BadGzipFile
        zipfile.BadZipFile lzma.LZMAError tarfile.TarError tarfile.ReadError PIL.UnidentifiedImageError
        email.MessageError struct.error pickle.UnpicklingError  tomllib.TOMLDecodeError
        openai.BadRequestError openai.UnprocessableEntityError openai.ContentFilterFinishReasonError
        openai.LengthFinishReasonError openai.APIResponseValidationError openai.InvalidWebhookSignatureError
        anthropic.BadRequestError anthropic.UnprocessableEntityError anthropic.ContentTooLargeError
        anthropic.APIResponseValidationError anthropic.APIWebhookValidationError
        google.BadRequest google.InvalidArgument google.OutOfRange google.InvalidOperation
        smtplib.SMTPSenderRefused smtplib.SMTPRecipientsRefused smtplib.SMTPDataError
        bson.InvalidDocument bson.InvalidBSON pymongo.DocumentTooLarge django.BadRequest django.SuspiciousOperation
        django.MultipleObjectsReturned sqlalchemy.MultipleResultsFound kombu.SerializationError kombu.DecodeError
        kombu.EncodeError botocore.ParamValidationError botocore.ValidationError kafka.MessageSizeTooLargeError
        requests.InvalidJSONError elasticsearch.SerializationError elastic_transport.SerializationError
        jwt.DecodeError dateutil.ParserError phonenumbers.NumberParseException asn1crypto.ParserError
        pyasn1.PyAsn1Error pypdf.PyPdfError pypdf.PdfReadError PyPDF2.PdfReadError
        elasticsearch.BulkIndexError opensearchpy.BulkIndexError pika.BodyTooLongError pika.ShortStringTooLong
        amqp.ContentTooLarge pika.UnroutableError
        pika.NackError
        amqp.MessageNacked google.DecodeError google.EncodeError fastjsonschema.JsonSchemaException
        email_validator.EmailNotValidError cerberus.DocumentError voluptuous.Invalid schema.SchemaError
        sqlalchemy.StatementError shutil.SameFileError shutil.ReadError defusedxml.DefusedXmlException
        lxml.XMLSyntaxError lxml.ParserError
        avro.AvroException fastavro.ValidationError werkzeug.BadRequest""",
    ),
    (
        _T.PERMANENT_NOT_FOUND,
        """
        FileNotFoundError hvac.InvalidPath sqlalchemy.NoResultFound sqlalchemy.ObjectDeletedError
        django.ObjectDoesNotExist
        django.Http404 openai.NotFoundError anthropic.NotFoundError google.NotFound peewee.DoesNotExist
        mongoengine.DoesNotExist botocore.DataNotFoundError kafka.UnknownTopicOrPartitionError jinja2.TemplateNotFound
        zoneinfo.ZoneInfoNotFoundError dns.NXDOMAIN ldap.NO_SUCH_OBJECT ldap3.LDAPNoSuchObjectResult
          tortoise.DoesNotExist""",
    ),
    (
        _T.PERMANENT_CONFLICT,
        """
        FileExistsError openai.ConflictError anthropic.ConflictError anthropic.PreconditionFailedError
        google.Conflict google.AlreadyExists google.PreconditionFailed google.FailedPrecondition
        pymongo.DuplicateKeyError procrastinate.AlreadyEnqueued procrastinate.UniqueViolation
        ldap.ALREADY_EXISTS ldap3.LDAPEntryAlreadyExistsResult pymongo.CollectionInvalid amqp.ResourceLocked
        """,
    ),
    (
        _T.PERMANENT_AUTH,
        """
        PermissionError redis.AuthenticationError redis.AuthorizationError redis.NoPermissionError
        redis.ExternalAuthProviderError openai.AuthenticationError openai.PermissionDeniedError openai.OAuthError
        anthropic.AuthenticationError anthropic.PermissionDeniedError anthropic.WorkloadIdentityError
        google.Unauthorized google.Unauthenticated google.Forbidden google.PermissionDenied google.RefreshError
        smtplib.SMTPAuthenticationError aiosmtplib.SMTPAuthenticationError django.PermissionDenied
        jwt.InvalidSignatureError pika.AuthenticationError pika.ProbableAuthenticationError
        pika.ProbableAccessDeniedError amqp.AccessRefused
        kombu.ContentDisallowed multiprocessing.AuthenticationError paramiko.AuthenticationException
        paramiko.BadHostKeyException jwt.InvalidTokenError jwt.ExpiredSignatureError
        cassandra.AuthenticationFailed cassandra.Unauthorized elasticsearch.AuthenticationException
        elasticsearch.AuthorizationException botocore.UnauthorizedSSOTokenError botocore.LoginError
        botocore.CredentialRetrievalError botocore.TokenRetrievalError botocore.SSOTokenLoadError
        ldap.INVALID_CREDENTIALS ldap.INSUFFICIENT_ACCESS ldap3.LDAPBindError ldap3.LDAPInvalidCredentialsResult
        ldap3.LDAPInsufficientAccessRightsResult kafka.AuthenticationFailedError
        kafka.TopicAuthorizationFailedError cryptography.InvalidSignature cryptography.InvalidToken
        neo4j.AuthError neo4j.Forbidden""",
    ),
    (
        _T.CONFIG_MISSING_SETTING,
        """
        django.ImproperlyConfigured kombu.ImproperlyConfigured celery.ImproperlyConfigured
        pydantic_settings.SettingsError pydantic_settings.CliError configparser.Error decouple.UndefinedValueError
        environs.EnvError dotenv.Error dynaconf.ValidationError
        botocore.NoCredentialsError botocore.PartialCredentialsError botocore.NoRegionError
        botocore.UnknownEndpointError botocore.ProfileNotFound botocore.ConfigNotFound botocore.ConfigParseError
        botocore.InvalidConfigError botocore.InvalidProxiesConfigError botocore.NoAuthTokenError
        botocore.InvalidRegionError botocore.UnknownRegionError botocore.BaseEndpointResolverError
        botocore.InvalidRetryConfigurationError botocore.ServiceNotInRegionError botocore.EndpointProviderError
        botocore.InvalidEndpointConfigurationError botocore.UnknownCredentialError
        google.DefaultCredentialsError google.MalformedError google.DuplicateCredentialArgs
        pymongo.ConfigurationError pymongo.InvalidURI sqlalchemy.NoDBAPILoaded sqlalchemy.NoSuchModuleError
        ssl.CertificateError ssl.SSLCertVerificationError asyncpg.ClientConfigurationError
        aiohttp.ServerFingerprintMismatch anthropic.CredentialsError kombu.SerializerNotInstalled
        requests.InvalidProxyURL docker.ContextException locale.Error redis.SentinelConfigError
        httpx.TooManyRedirects requests.TooManyRedirects aiohttp.TooManyRedirects""",
    ),
    (
        _T.PERMANENT_CODE_BUG,
        """
        TypeError AttributeError NameError UnboundLocalError NotImplementedError AssertionError SyntaxError
        IndentationError ImportError ModuleNotFoundError RecursionError ZeroDivisionError StopIteration
        StopAsyncIteration asyncio.InvalidStateError concurrent.InvalidStateError asyncio.BrokenBarrierError
        pickle.PicklingError copy.Error dataclasses.FrozenInstanceError
        attrs.FrozenInstanceError SystemError
        httpx.LocalProtocolError httpx.UnsupportedProtocol httpx.InvalidURL httpx.StreamError httpx.CookieConflict
        requests.MissingSchema requests.InvalidURL requests.InvalidSchema requests.InvalidHeader
        requests.URLRequired requests.StreamConsumedError requests.UnrewindableBodyError
        urllib3.LocationValueError urllib3.URLSchemeUnknown urllib3.ProxySchemeUnknown urllib3.InvalidHeader
        urllib3.ClosedPoolError urllib3.HostChangedError urllib3.LocationParseError
        aiohttp.InvalidURL aiohttp.NonHttpUrlClientError aiohttp.WSMessageTypeError http.InvalidURL
        http.CannotSendRequest http.ResponseNotReady http.UnknownProtocol
        sqlalchemy.InvalidRequestError sqlalchemy.ArgumentError sqlalchemy.CompileError sqlalchemy.FlushError
        sqlalchemy.DetachedInstanceError sqlalchemy.UnmappedError sqlalchemy.MissingGreenlet
        sqlalchemy.ObjectDereferencedError sqlalchemy.CircularDependencyError sqlalchemy.IdentifierError
        django.FieldError django.FieldDoesNotExist django.AppRegistryNotReady django.SynchronousOnlyOperation
        django.ViewDoesNotExist django.TemplateSyntaxError django.NoReverseMatch django.EmptyResultSet
        jinja2.TemplateError jinja2.TemplateSyntaxError jinja2.UndefinedError jsonschema.SchemaError re.error
        string.FormatError redis.ResponseError redis.DataError redis.PubSubError redis.InvalidPipelineStack
        redis.NoScriptError redis.ExecAbortError redis.ClusterCrossSlotError redis.CrossSlotTransactionError
        pymongo.InvalidOperation pymongo.InvalidName pymongo.ProtocolError pymongo.EncryptionError
        psycopg_pool.PoolClosed asyncpg.InternalClientError
        procrastinate.TaskNotFound procrastinate.TaskAlreadyRegistered procrastinate.AppNotOpen
        celery.NotRegistered pika.ChannelWrongStateError pika.ConnectionWrongStateError
        pika.ProtocolSyntaxError pika.DuplicateConsumerTag pika.IncompatibleProtocolError pika.ReentrancyError
        amqp.AMQPNotImplementedError amqp.FrameError amqp.FrameSyntaxError amqp.UnexpectedFrame amqp.InvalidCommand
        amqp.NotAllowed amqp.ChannelNotOpen kombu.NotBoundError kombu.MessageStateError
        google.MethodNotImplemented google.MethodNotAllowed botocore.UnknownServiceError
        botocore.UnknownClientMethodError botocore.OperationNotPageableError botocore.UnStubbedResponseError
        botocore.StubResponseError botocore.UnknownSignatureVersionError botocore.MissingParametersError
        anthropic.HTTPNotImplementedError pydantic.PydanticUserError pydantic.PydanticSchemaGenerationError
         shutil.SpecialFileError shutil.RegistryError regex.error pyo3_runtime.PanicException
         bs4.FeatureNotFound graphlib.CycleError
         threading.BrokenBarrierError""",
    ),
    (_T.SYSTEM_OUT_OF_MEMORY, "MemoryError numpy._ArrayMemoryError numpy.ArrayMemoryError torch.OutOfMemoryError"),
    (
        _T.SYSTEM_WORKER_LOST,
        """
        billiard.WorkerLostError billiard.Terminated celery.WorkerLostError celery.WorkerTerminate
        celery.WorkerShutdown concurrent.BrokenProcessPool concurrent.BrokenExecutor
        concurrent.BrokenThreadPool joblib.TerminatedWorkerError loky.TerminatedWorkerError""",
    ),
)

# A wrapper, or a coarse class: right, unless what it wraps knows better.
_CARRIERS: tuple[tuple[FailureType, str], ...] = (
    (
        _T.TRANSIENT_NETWORK,
        """
        ConnectionError httpx.NetworkError httpx.ReadError httpx.WriteError httpx.TransportError httpx.RequestError
        httpx.ProxyError
        httpcore.NetworkError httpcore.ProxyError requests.ConnectionError
        urllib3.NewConnectionError urllib3.ProxyError
        aiohttp.ClientOSError aiohttp.ClientConnectionError aiohttp.ClientConnectorError
        aiohttp.ClientSSLError aiohttp.ClientHttpProxyError
        openai.APIConnectionError anthropic.APIConnectionError redis.ConnectionError
        botocore.HTTPClientError botocore.ConnectionError botocore.EndpointConnectionError
        botocore.ProxyConnectionError kombu.OperationalError amqp.ConnectionError pika.AMQPConnectionError
        pika.AMQPError aiormq.AMQPError aio_pika.AMQPException kombu.InconsistencyError
        socket.gaierror socket.herror smtplib.SMTPConnectError smtplib.SMTPHeloError
        aiosmtplib.SMTPConnectError elastic_transport.ConnectionError elasticsearch.ConnectionError
        opensearchpy.ConnectionError ftplib.error_temp imaplib.abort poplib.error_proto nntplib.NNTPTemporaryError
        azure.ServiceRequestError azure.ServiceResponseError websockets.WebSocketException paramiko.SSHException
        asyncssh.Error grpc.RpcError google.TransportError
        kafka.KafkaConnectionError kazoo.SessionExpiredError
        botocore.MetadataRetrievalError ldap3.LDAPCommunicationError ssl.SSLError""",
    ),
    (
        _T.CONFIG_MISSING_SETTING,
        """
        requests.SSLError urllib3.SSLError botocore.SSLError aiohttp.ClientConnectorCertificateError
        aiohttp.ClientConnectorSSLError elastic_transport.TlsError elasticsearch.SSLError opensearchpy.SSLError""",
    ),
    (
        _T.TRANSIENT_DATABASE,
        """
        sqlalchemy.OperationalError sqlalchemy.InterfaceError sqlalchemy.DBAPIError sqlalchemy.DatabaseError
        sqlalchemy.InternalError django.OperationalError django.DatabaseError django.InternalError
        cassandra.NoHostAvailable
        redis.LockError peewee.OperationalError peewee.InternalError peewee.DatabaseError
        tortoise.OperationalError databases.OperationalError""",
    ),
    (
        _T.PERMANENT_VALIDATION,
        "django.DataError sqlalchemy.DataError peewee.DataError smtplib.SMTPNotSupportedError",
    ),
    (
        _T.PERMANENT_CONFLICT,
        """
        django.IntegrityError sqlalchemy.IntegrityError peewee.IntegrityError tortoise.IntegrityError""",
    ),
    (
        _T.PERMANENT_CODE_BUG,
        """
        django.ProgrammingError sqlalchemy.ProgrammingError sqlalchemy.NotSupportedError django.NotSupportedError
        peewee.ProgrammingError""",
    ),
)

# True, and saying little: anything more specific inside wins.
_GENERIC: tuple[tuple[FailureType, str], ...] = (
    (_T.PERMANENT_VALIDATION, "ValueError"),
    (
        _T.TRANSIENT_NETWORK,
        """
        urllib.URLError urllib3.MaxRetryError EOFError requests.RequestException aiohttp.ClientError
        urllib3.HTTPError httpx.HTTPError http.HTTPException""",
    ),
    (_T.EXTERNAL_API_DOWN, "urllib3.ResponseError requests.RetryError"),
    (_T.PERMANENT_CODE_BUG, "KeyError IndexError LookupError ArithmeticError OverflowError BufferError Warning"),
)

# An error in the wake of another one; the earlier one counts.
_SECONDARY = frozenset({"sqlalchemy.PendingRollbackError", "sqlalchemy.ResourceClosedError",
                        "django.TransactionManagementError", "asyncpg.ConnectionDoesNotExistError"})  # fmt: skip

_BILLING = frozenset({
    "anthropic.EnforcedSpendLimitReachedError", "anthropic.ContractSpendLimitReachedError",
    "anthropic.PaymentRequiredError", "anthropic.OrganizationOnHoldError",
    "anthropic.LinkedOrganizationBillingUnavailableError", "anthropic.LinkedOrganizationSpendLimitReachedError",
})  # fmt: skip

_CONTENTION = frozenset({"sqlalchemy.StaleDataError", "redis.WatchError", "redis.LockError", "redis.LockNotOwnedError"})

# What holds of a class and of those below it, whichever of its bases tells the type.
NOT_SENT = frozenset({
    "azure.ServiceRequestError", "httpx.ConnectError", "httpx.ConnectTimeout", "httpx.PoolTimeout",
    "ConnectionRefusedError",
    "requests.ConnectTimeout", "urllib3.NewConnectionError", "urllib3.NameResolutionError",
    "urllib3.ConnectTimeoutError", "aiohttp.ClientConnectorError", "aiohttp.ConnectionTimeoutError",
    "botocore.EndpointConnectionError", "botocore.ConnectTimeoutError", "smtplib.SMTPConnectError",
    "aiosmtplib.SMTPConnectError", "socket.gaierror", "psycopg_pool.PoolTimeout", "sqlalchemy.TimeoutError",
    "pymongo.ServerSelectionTimeoutError", "pymongo.WaitQueueTimeoutError",
})  # fmt: skip
SENT_PERHAPS = frozenset({
    "httpx.ReadTimeout", "httpx.WriteTimeout", "httpx.ReadError", "httpx.WriteError", "httpx.RemoteProtocolError",
    "requests.ReadTimeout", "urllib3.ReadTimeoutError", "urllib3.ProtocolError", "botocore.ReadTimeoutError",
    "aiohttp.ServerDisconnectedError", "aiohttp.SocketTimeoutError", "ConnectionResetError", "BrokenPipeError",
    "http.RemoteDisconnected", "smtplib.SMTPServerDisconnected", "openai.APITimeoutError",
    "anthropic.APITimeoutError", "TimeoutError", "billiard.SoftTimeLimitExceeded", "subprocess.TimeoutExpired",
    # What came of it was on its way back.
    "aiohttp.ClientPayloadError", "aiosmtplib.SMTPServerDisconnected", "botocore.ConnectionClosedError",
    "botocore.IncompleteReadError", "botocore.ResponseStreamingError", "http.BadStatusLine", "http.IncompleteRead",
    "httpcore.RemoteProtocolError", "requests.ChunkedEncodingError", "urllib3.IncompleteRead",
    "urllib3.InvalidChunkLength",
})  # fmt: skip


def effect_of(keys: Iterable[str]) -> Effect | None:
    """What the most derived of these classes that says so tells about the call."""
    for key in keys:
        if key in NOT_SENT:
            return Effect.NOT_SENT
        if key in SENT_PERHAPS:
            return Effect.UNKNOWN
    return None


def _reason(key: str, kind: FailureType) -> str | None:
    if key in _BILLING:
        return "billing"
    if key in _CONTENTION:
        return "contention"
    return "worker_lost" if kind is _T.SYSTEM_WORKER_LOST else None


def _verdict(kind: FailureType, key: str, strength: Strength, confidence: float) -> Verdict:
    return Verdict(
        type=kind,
        rule=f"class.{key}",
        detail=key.rpartition(".")[2],
        strength=strength,
        confidence=confidence,
        effect=effect_of((key,)),
        reason=_reason(key, kind),
        secondary=key in _SECONDARY,
    )


def _build() -> dict[str, Verdict]:
    built: dict[str, Verdict] = {}
    for table, strength, confidence in (
        (_EXACT, Strength.CLASS, 0.9),
        (_CARRIERS, Strength.CARRIER, 0.85),
        (_GENERIC, Strength.GENERIC, 0.6),
    ):
        for kind, keys in table:
            for key in keys.split():
                if key not in built:
                    built[key] = _verdict(kind, key, strength, confidence)
    for key in _BILLING:
        built[key] = _verdict(_T.PERMANENT_AUTH, key, Strength.CODE, 0.95)
    for key in ("sqlalchemy.PendingRollbackError", "sqlalchemy.ResourceClosedError",
                "django.TransactionManagementError"):  # fmt: skip
        built[key] = _verdict(_T.PERMANENT_CODE_BUG, key, Strength.CLASS, 0.7)
    return built


KNOWN = _build()

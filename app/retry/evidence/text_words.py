"""The phrases of messages, the most telling first. Data."""

from ..failure import FailureType
from ..phrases import Phrasebook

_T = FailureType

# What a ValueError may say of a setting: its other words are about the data.
SETTINGS = Phrasebook(
    (
        (
            _T.CONFIG_MISSING_SETTING,
            None,
            """
        no api key, missing api key, api key is missing, api key not, api key is required, api_key must be set,
        api key must be, api_key is required, environment variable, environment variables, no credentials,
        unable to locate credentials, unable to load credentials, missing credentials, credentials not found,
        could not find credentials, credentials are required, no access token, missing access token""",
        ),
    )
)

# Messages, read only where neither code nor class says anything.
TEXTS = Phrasebook(
    (
        (
            _T.SYSTEM_OUT_OF_MEMORY,
            None,
            """
        out of memory, memory limit, low on memory, cannot allocate memory, can t allocate memory,
        memory limit exceeded, oom killed, oomkilled,
        oom killer, memory exhausted, not enough memory, insufficient memory, unable to allocate""",
        ),
        (
            _T.SYSTEM_DISK_FULL,
            None,
            """
        no space left on device, no space left, disk quota exceeded, disk is full, disk full, not enough space,
        not enough disk space, insufficient disk space, read only file system, database or disk is full,
        could not extend file, filesystem full, file system full, out of disk space""",
        ),
        (
            _T.UNKNOWN,
            "corruption",
            """
        disk i o error, input output error, database disk image is malformed, file is not a database,
        file is encrypted or is not a database, invalid page in block, could not read block""",
        ),
        (
            _T.SYSTEM_WORKER_LOST,
            "suspect_oom",
            """
        exit code 137, exitcode 137, exit status 137, exited with code 137, exited with 137, signal 9, sigkill""",
        ),
        (
            _T.SYSTEM_WORKER_LOST,
            "worker_lost",
            """
        worker exited prematurely, worker lost, worker died, worker was lost, workers died, abnormal termination,
        terminated abruptly,
        worker timeout sigabrt,
        process pool was terminated, worker process died""",
        ),
        (
            _T.PERMANENT_AUTH,
            "billing",
            """
        insufficient_quota, exceeded your current quota, credit balance is too low, credit balance too low,
        billing hard limit, billing account, billing details, billing is not enabled, payment required,
        insufficient credits, out of credits, insufficient balance, insufficient funds in your account,
        spend limit, spending limit, subscription has expired, subscription expired, account has been suspended""",
        ),
        (
            _T.TRANSIENT_RESOURCE,
            None,
            """
        address already in use, too many open files, file table overflow, resource temporarily unavailable,
        too many connections,
        too many clients, connection pool is full, connection pool exhausted, connection pool is exhausted,
        pool exhausted, pool is exhausted, queue is full, queue full, no buffer space, max connections reached,
        maximum number of connections, number of clients reached,
        connection limit exceeded, remaining connection slots are reserved, cannot assign requested address,
        can t start new thread, thread pool is full, pool limit of size, queuepool limit, no free connections,
        no available connection, device or resource busy, text file busy, after interpreter shutdown""",
        ),
        (
            _T.TRANSIENT_RATE_LIMIT,
            None,
            """
        rate limit, rate limited, rate limits, rate limiting, ratelimit, ratelimited, rate exceeded,
        too many requests,
        request limit exceeded, throttled, throttling, throttle, slow down, slowdown, quota exceeded, exceeded quota,
        request quota, requests per second, requests per minute, api limit exceeded, retry after * seconds,
        try again in * seconds, try again in * minutes, flood control, rate_limit_exceeded, calls per second,
        usage limit exceeded, rate quota""",
        ),
        (
            _T.CONFIG_MISSING_SETTING,
            "certificate",
            """
        certificate verify failed, self signed certificate, unable to get local issuer certificate, hostname mismatch,
        certificate is not valid for, wrong version number, unknown ca, certificate_verify_failed,
        certificate has expired,
        untrusted certificate, signed by unknown authority, certificate is not trusted, certificate is invalid""",
        ),
        (
            _T.PERMANENT_AUTH,
            None,
            """
        password authentication failed, authentication failed, authentication failure, authentication required,
        access denied, access is denied, permission denied, permissions denied, not authorized, unauthorized,
        unauthorised,
        unauthenticated, authorization violation, authenticationfailed, authorizationfailed, permissions violation,
        not allowed to, forbidden, invalid api key,
        incorrect api key, api key not valid, api key is invalid, incorrect username, incorrect password,
        username or password, user name or password, request denied, invalid credentials,
        bad credentials, invalid token, invalid access token, token has expired, token expired, expired token,
        token is expired, token is invalid, token has been revoked, invalid_grant, invalid_client, login failed,
        invalid login, login incorrect, invalid password, wrong password, invalid username, pg_hba conf,
        insufficient privilege, insufficient privileges, insufficient permissions, insufficient scope,
        signature does not match, not permitted, operation not permitted, not logged in, login required,
        must be logged in, write a readonly database, session expired, session has expired, noauth, wrongpass,
        auth failed, authorization failed,
        logon denied, role does not exist, user does not exist, account locked, account is locked, account disabled,
        invalid signature, expired signature""",
        ),
        (
            _T.CONFIG_MISSING_SETTING,
            None,
            """
        extension not supported, private key file, not a valid private key, valid rsa private key, passphrase,
        not found in known_hosts,
        host key verification failed, host key is not trusted,
        unable to open database file, unable to open database, have not defined, improperly configured,
        not configured, is not configured, missing configuration,
        configuration error,
        missing environment variable, environment variable * is not set, environment variable * not set,
        environment variable * must be set, environment variable, no credentials, unable to locate credentials,
        unable to load credentials, unable to find credentials, no valid credentials,
        credentials not found, credentials are not set,
        could not find credentials,
        could not automatically determine credentials, must specify a region, must be configured, is not set,
        must be set,
        setting is required, missing setting, missing required setting, missing api key, api key is missing,
        api_key client option must be set, no api key, command not found, not installed, no such profile,
        unknown database, database does not exist,
        invalid configuration, misconfigured, bad configuration""",
        ),
        (
            _T.TRANSIENT_DATABASE,
            "contention",
            """
        deadlock, could not serialize access, serialization failure, lock wait timeout, database is locked,
        database table is locked, table is locked, could not obtain lock, could not set lock, lock timeout,
        restart transaction,
        write conflict,
        try restarting transaction, failed to acquire lock, could not acquire lock, unable to acquire lock,
        concurrent update, snapshot isolation""",
        ),
        (
            _T.TRANSIENT_NETWORK,
            "resolution",
            """
        name or service not known, temporary failure in name resolution, nodename nor servname provided,
        name resolution, could not resolve host, could not translate host name, getaddrinfo failed, unknown host,
        no address associated with hostname, name does not resolve, failed to resolve, couldn t resolve,
        cannot resolve, unable to resolve, dns lookup failed, dns""",
        ),
        (_T.TRANSIENT_NETWORK, None, "network is down"),
        (_T.TRANSIENT_DATABASE, None, "cluster is down"),
        (
            _T.EXTERNAL_API_DOWN,
            None,
            """
        gateway timeout, gateway time out, bad gateway, service unavailable, service is unavailable,
        service temporarily unavailable, temporarily unavailable, circuit breaker, no healthy upstream,
        upstream connect error,
        upstream request timeout, currently unavailable, is down for maintenance, under maintenance,
        scheduled maintenance,
        internal server error, server is overloaded, overloaded, currently overloaded, server error, is unavailable,
        was unavailable, no brokers available, server is busy, over capacity, is down""",
        ),
        (
            _T.TRANSIENT_TIMEOUT,
            None,
            """
        canceling statement due to statement timeout, statement timeout, timed out, timeout, time out,
        deadline exceeded,
        took too long, time limit exceeded, no response within, did not respond in time, didn t respond in time,
        did not complete within, not respond within, no reply within, deadline expired, did not finish in time,
        no response from, no response received, i o timeout, did not answer, not answered within, no answer from,
        no answer within""",
        ),
        (
            _T.TRANSIENT_DATABASE,
            None,
            """
        server closed the connection unexpectedly, terminating connection, database system is starting up,
        database system is shutting down, the database system is, starting up, shutting down, recovery mode,
        consuming input failed,
        server has gone away, lost connection to mysql, lost connection to server during query,
        can t connect to mysql,
        connection to server at, read only transaction, read only replica, not primary, not master, no primary,
        connection to database,
        database connection, loading the dataset, masterdown, clusterdown, no leader, leader election,
        connection already closed,
        readonly you can t write, no replica set members""",
        ),
        (
            _T.TRANSIENT_NETWORK,
            None,
            """
        connection refused, connection reset, connection aborted, connection closed, connection was closed,
        connection lost, connection is lost, connection error, connection broken, connection failed,
        connection failure,
        connection timed, connection terminated, connection dropped, connection interrupted,
        connection has been closed,
        connection unexpectedly closed, closed the connection, closed connection, closed by remote, closed by peer,
        reset by peer, broken pipe,
        network is unreachable, network unreachable, host is unreachable, host unreachable, no route to host,
        connection to server, empty reply, rebalanced, rebalancing, network error, network failure,
        could not connect,
        cannot connect, can t connect,
        failed to connect,
        unable to connect, failed to establish a new connection, cannot reach, could not reach, unable to reach,
        not reachable,
        unreachable, remote end closed, server disconnected, disconnected, eof occurred in violation of protocol,
        unexpected eof,
        unexpected_eof_while_reading, socket hang up, socket is closed, socket closed,
        transport endpoint is not connected,
        transport closed, endpoint shutdown, connection is closed, couldn t connect, couldn t reach,
        incomplete read, peer closed, ssl handshake failed, handshake failed, lost connection,
        stream closed,
        not connected, failed to connect to, all connection attempts failed, connect call failed,
        software caused connection abort""",
        ),
        (
            _T.PERMANENT_CODE_BUG,
            "schema",
            """
        no such table, no such column, no such function, no such module, unknown column, unknown table,
        undefined column, undefined table, invalid object name, invalid column name, has no column,
        relation does not exist, relation * does not exist, relation * * does not exist, column does not exist,
        column * does not exist, column * * does not exist, table does not exist, table * does not exist,
        table * * does not exist, table doesn t exist, table with name * does not exist, view does not exist,
        too many sql variables, unrecognized name""",
        ),
        (_T.PERMANENT_CODE_BUG, None, "module not found, event loop is already running"),
        (
            _T.PERMANENT_NOT_FOUND,
            None,
            """
        not found, does not exist, doesn t exist, do not exist, no such file or directory, no such, could not find,
        cannot find, couldn t find, wasn t found, no results, can t find, unable to find, no longer exists,
        was deleted, has been deleted, no matching,
        nonexistent, unknown mailbox, no files found, no file found, was not found, unknown topic, not exist, no row,
        no rows""",
        ),
        (
            _T.PERMANENT_CONFLICT,
            None,
            """
        cannot release, conflicts with, alreadyexists, already exists, duplicate key, duplicate entry,
        unique constraint,
        already registered, already in use,
        unique violation, version conflict, conflict, precondition failed, optimistic lock, has been modified,
        duplicate, already been, already processed, foreign key constraint, exclusion constraint, already running""",
        ),
        (
            _T.PERMANENT_CODE_BUG,
            None,
            """
        not fitted, not initialized, not initialised, cursor already closed, cursor is closed, not implemented,
        is not supported, not supported,
        unsupported operation, syntax error, not callable,
        unexpected keyword argument,
        positional argument, has no attribute, object is not, is not defined, unknown method, unimplemented,
        event loop is closed, no running event loop, maximum recursion depth,
        changed size during iteration, was never awaited, cannot be called from, cannot reuse already awaited,
        another operation is in progress, another command is already in progress, while another coroutine,
        attached to a different loop, generator already executing, generator raised stopiteration,
        generator didn t yield, generator didn t stop, shutdown after, new futures after shutdown,
        session is closed, pool is closed, pool is closing, client is closed, client has been closed,
        unknown url type,
        bound to a different event loop,
        release unlocked lock, release un acquired lock, no active exception to reraise,
        no module named,
        cannot enter into task, threads can only be started once, working outside of, super no arguments""",
        ),
        (
            _T.PERMANENT_VALIDATION,
            None,
            """
        validation error, validation failed, failed validation, is invalid, not valid, not a valid, invalid,
        malformed, bad request,
        could not parse, cannot parse, failed to parse, parse error, parsing error, failed to decode,
        could not decode, cannot decode,
        unprocessable, missing required, is required, field required, required field, must be a, must be one of,
        must be, out of range,
        payload exceeded, insufficient funds, reverted, not a * file, damaged,
        decryption failed, more fields than, cannot query field, message size, ran out of input, ended before the end,
        truncated, too long, too large, exceeds maximum, exceeds the maximum, unexpected value, wrong format,
        bad format,
        unknown format,
        check constraint, not null constraint, violates, unrecognized, corrupt, corrupted, checksum mismatch,
        maximum context length,
        context length, schema mismatch, does not match, doesn t match, is missing, illegal, rejected,
        may not be null, cannot be null, can not be null, cannot be empty,
        must not be""",
        ),
        (_T.EXTERNAL_API_DOWN, None, "unavailable, try again later, please retry, please try again, try again"),
        # One word, and nothing better: the weakest of hints.
        (_T.PERMANENT_AUTH, None, "denied"),
        (_T.TRANSIENT_DATABASE, "contention", "is locked, lock held by"),
        (_T.TRANSIENT_RESOURCE, None, "is busy, exhausted, limit reached"),
        (_T.TRANSIENT_NETWORK, None, "refused, hung up"),
        (_T.EXTERNAL_API_DOWN, None, "not available, not ready"),
    )
)

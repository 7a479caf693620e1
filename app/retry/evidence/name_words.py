"""The words that class names and error codes are made of, the most telling first. Data."""

from ..failure import FailureType
from ..phrases import Phrasebook

_T = FailureType

# Words of a class name or of an error code (``RateLimitExceeded``, ``rate_limit_exceeded``).
NAMES = Phrasebook(
    (
        (
            _T.UNKNOWN,
            "final",
            """
        non retryable, not retryable, non retriable, not retriable, unretryable, unrecoverable, irrecoverable,
        non recoverable, non transient, permanent error, permanent failure, permanent failed""",
        ),
        (
            _T.UNKNOWN,
            "gave_up",
            """
        retries exhausted, retry exhausted, retries exceeded, retry limit, max retries, max retry, maximum retries,
        too many retries, max attempts, attempts exhausted, attempts exceeded, retry error, retry failed, gave up""",
        ),
        (_T.SYSTEM_OUT_OF_MEMORY, None, "out of memory, memory limit, memory exhausted, oom, outofmemory"),
        (_T.SYSTEM_DISK_FULL, None, "disk full, no space, disk quota, storage full, out of disk, disk space"),
        (
            _T.SYSTEM_WORKER_LOST,
            "worker_lost",
            """
        broken worker, worker lost, worker died, worker crashed, worker killed, killed worker, process expired,
        worker terminated,
        broken process pool""",
        ),
        (
            _T.PERMANENT_AUTH,
            "billing",
            """
        insufficient quota, payment required, spend limit, budget exceeded, billing, credit balance,
        insufficient credits,
        out of credits, usage limit reached, account suspended""",
        ),
        (
            _T.TRANSIENT_TIMEOUT,
            None,
            "time exhausted, auth timeout, authentication timeout, login timeout, renew timeout, credential timeout",
        ),
        (_T.CONFIG_MISSING_SETTING, None, "too many redirects, redirect limit"),
        (_T.TRANSIENT_RATE_LIMIT, None, "resource exhausted, quota exhausted"),
        (_T.PERMANENT_CODE_BUG, None, "method not allowed, local protocol"),
        (
            _T.TRANSIENT_RESOURCE,
            None,
            """
        too many clients, too many sessions, too many jobs, too many queries, too many tasks, too many workers,
        too many threads, too many processes, too many in flight, too many streams, too many open""",
        ),
        (
            _T.PERMANENT_VALIDATION,
            None,
            """
        too many fields, too many files, too many parts, too many rows, too many results, too many arguments,
        too many columns, too many values, too many items, too many tags, too many members, too many levels,
        too many headers, too many fragments, context overflow, too many matches, too many pages, too many tokens""",
        ),
        (
            _T.TRANSIENT_RESOURCE,
            None,
            """
        pool timeout, pool exhausted, pool empty, too many connections, max connections, queue full, pool full,
        connection limit, too many open files, insufficient capacity, capacity exceeded, no free, resource busy,
        exhausted, no available, overflow,
        would block, slow consumer, bind error, cannot listen, buffer full, max instances, max workers, max size,
        insufficient resources, cap exceeded,
        back pressure, backpressure, concurrency limit, too many concurrent""",
        ),
        (_T.EXTERNAL_API_DOWN, None, "gateway timeout, bad gateway, circuit breaker, circuit open, breaker open"),
        (_T.TRANSIENT_TIMEOUT, None, "time limit"),
        (
            _T.TRANSIENT_RATE_LIMIT,
            None,
            """
        rate limit, rate limited, rate limiting, ratelimit, ratelimited, too many requests, throttled, throttling,
        throttle, slow down, slowdown, flood wait, flood, retry after, quota exceeded, over quota,
        requests exceeded, request limit, api limit, daily limit, quota, cooldown, cool down, limit exceeded,
        limit reached, too many""",
        ),
        (_T.CONFIG_MISSING_SETTING, "certificate", "certificate, cert"),
        (
            _T.CONFIG_MISSING_SETTING,
            None,
            """
        improperly configured, command not found, not installed, host key, host keys, misconfigured,
        misconfiguration, not configured, configuration,
        config, setting,
        settings,
        missing env, missing dependency, missing module, missing package, missing library, environment variable,
        no credentials, credential unavailable, credentials unavailable, missing credentials, credentials missing,
        credentials not found, missing api key, no api key, missing secret, connection string, missing setting""",
        ),
        (_T.PERMANENT_CONFLICT, None, "already exists, already in use, already registered"),
        (
            _T.PERMANENT_CODE_BUG,
            None,
            """
        already closed, already consumed, already finalized, already started, already initialized, already initialised,
        stream consumed, not read, not running, not started, not open, not opened, not finished, not done""",
        ),
        (
            _T.PERMANENT_AUTH,
            None,
            """
        authentication, authenticate, auth, unauthorized, unauthorised, unauthenticated, permission, permissions,
        access denied, forbidden, not authorized, authorization, credentials, credential, invalid token,
        expired token,
        token expired, token invalid, invalid api key, api key, login, bad credentials, invalid grant, invalid client,
        expired signature, invalid signature, bad signature, signature, signature mismatch, signature does not match,
        access refused,
        not permitted, insufficient privilege, insufficient privileges, privilege, privileges, not allowed user,
        security token, access token, invalid access key, denied, account inactive,
        token revoked, missing scope, insufficient scope,
        session expired, two factor, mfa, csrf, id token, session cookie, missing role, missing any role,
        missing permission, missing permissions, not approved, key expired, jwt expired, yet valid, key revoked,
        context expired,
        account disabled, user disabled, not allowed, password, passphrase, write protect, banned, not logged in,
        invalid auth, not authed""",
        ),
        (
            _T.TRANSIENT_NETWORK,
            None,
            """
        name resolution, server not found, domain not found, host not found, unknown host, dns error, dns lookup,
        host down, node not available,
        dns resolution, dns failure, dns failed""",
        ),
        (
            _T.TRANSIENT_DATABASE,
            "contention",
            """
        deadlock, locked, acquire lock, lock failed, lock held, serialization failure,
        mutex, lock exception, optimistic check, unrepeatable read, lock not available, lock timeout, lock wait,
        database locked, write conflict, transaction conflict, optimistic lock, stale data, concurrent update,
        lock error,
        lock acquisition,
        transaction aborted, transaction rollback, could not serialize, lock not acquired""",
        ),
        (
            _T.TRANSIENT_TIMEOUT,
            None,
            "timeout, timed out, timedout, deadline exceeded, time out, took too long, timeouts",
        ),
        (
            _T.TRANSIENT_DATABASE,
            None,
            """
        not primary, not master, not leader, leader not available, no leader, master down, cluster down, read only,
        replica, failover, not coordinator, coordinator, stale metadata, stepped down, not enough replicas,
        database unavailable, database connection, rebalance, stale read, bootstrapping""",
        ),
        # The syntax of a document is data; any other is code.
        (
            _T.PERMANENT_VALIDATION,
            None,
            """
        pdf syntax, xml syntax, html syntax, json syntax, yaml syntax, toml syntax, csv syntax, email syntax,
        unsupported format, unsupported file, unsupported media, unsupported image, unsupported type,
        unsupported encoding, type not supported, format not supported""",
        ),
        (_T.PERMANENT_CODE_BUG, None, "actor not found, task not found, handler not found"),
        (
            _T.PERMANENT_NOT_FOUND,
            None,
            """
        not found, notfound, not present, not in, lookup error, lookup failed,
        does not exist, doesnt exist, doesn exist,
        not exist, no such, nosuch, no result,
        no results, not exists, gone, missing record, unknown topic, unknown object, unresolvable, template lookup,
        no match, object deleted, does not exists""",
        ),
        (
            _T.PERMANENT_CONFLICT,
            None,
            """
        already, conflicting, bad version, not empty, lock lost, lease lost, conflict, duplicate, duplicated, unique,
        integrity, precondition, concurrent modification,
        version mismatch, in use, exists, stale, conditional check failed, invalid state, fenced, dirty, unmerged,
        diverged,
        resolution impossible, modified, conditional request conflict""",
        ),
        (
            _T.PERMANENT_CODE_BUG,
            None,
            """
        invalid url, invalid uri, upgrade required,
        client closed, pool closed, producer closed, consumer closed, session closed,
        not implemented, version error, not initialized, not initialised, not fitted,
        unsupported operation, not supported, unsupported, unimplemented, reentrant,
        programming error,
        programming, misuse, usage, not registered, invalid operation, undefined, not callable, unknown method,
        unknown operation, unexpected keyword, deprecated, syntax, unknown action, invalid action, closed resource,
        x path, xpath, unseekable, unrewindable, cycle, circular, loop detected,
        busy resource""",
        ),
        (
            _T.EXTERNAL_API_DOWN,
            None,
            """
        service unavailable, gateway, unavailable, not available, not ready, provider down, server down, down,
        no responders,
        bad response, invalid response, unexpected response, server error, internal error, internal failure,
        internal server, internal,
        overloaded, overload, maintenance, service down, api down, upstream, server busy, backend, temporarily,
        service error, no brokers, broker not available, brokers""",
        ),
        (
            _T.PERMANENT_VALIDATION,
            None,
            "validation, query error, query failed, insufficient funds, insufficient balance",
        ),
        (
            _T.TRANSIENT_NETWORK,
            None,
            """
        connection, connect, connecting, disconnected, disconnect, network, unreachable, broken pipe, transport,
        socket,
        proxy, stream lost, stream closed, peer, reset, ssl, tls, handshake, remote, no route, hung up,
        channel closed,
        unexpected close, close, refused, lost, hang up, aborted, interrupted,
        closed, broken resource,
        end of stream, eof, end of file, not connected, sys call, zero return, incomplete read,
        incomplete response, incomplete stream,
        empty response, empty reply,
        communication, upload failed, download failed, transfer failed, upload error, download error, transfer error,
        copy failed, protocol""",
        ),
        (_T.TRANSIENT_NETWORK, None, "transient, temporary, try again, retryable, retriable, recoverable"),
        (
            _T.PERMANENT_VALIDATION,
            None,
            """
        invalid, malformed, parse, parser, parsing, decode, decoder, decoding, encode, encoding, schema, bad request,
        bad data, bad value, unprocessable, missing field, missing argument, missing parameter, missing required,
        required, format, out of range, too large, too long, too short, too big, payload, bomb, unrecognized, corrupt,
        corrupted,
        wrong,
        illegal, mismatch, incorrect, data error, constraint, serialization, deserialization, not valid,
        unexpected value, unknown time, unknown locale, unknown format, unknown type, unknown field, unknown value,
        unknown attribute, unknown property, unknown column, unknown encoding, conversion, cast, compute,
        checksum, key length, overrun, missing, out of bounds, unreadable, not readable, bad, unacceptable,
        rejected, declined,
        policy violation, content filter, content policy, multiple objects, multiple results, multiple rows,
        multiple matches, size exceeded, exceeded size, length exceeded, serializer, serialize, unpickle,
        unpickleable, unmarshal, unmarshaling, unmarshalling, unpack, unpacking, compression, decompression,
        decompress,
        decrypt, decryption, encrypt, encryption, extract, extraction, tokenization, truncated, ambiguous, claim,
        unsafe, empty file, empty data, empty input, empty document, empty body, violation, mandatory, marshalling,
        unknown key, unknown file,
        not satisfiable,
        unsatisfiable, argument, arguments, parameter, parameters""",
        ),
        (_T.PERMANENT_AUTH, None, "security, verification"),
        (_T.CONFIG_MISSING_SETTING, None, "disabled"),
        (_T.TRANSIENT_RESOURCE, None, "busy"),
        # The weakest: `NoNodeError`, `NoDataError`.
        (_T.PERMANENT_NOT_FOUND, None, "no *"),
    )
)

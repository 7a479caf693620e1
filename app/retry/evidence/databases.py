"""Databases that speak their own numbers: MySQL, SQLite, MongoDB, SQL Server, Oracle, ODBC, ClickHouse, Redis."""

import re
from collections.abc import Callable, Mapping, Sequence

from ..failure import Effect, FailureType
from ..look import Look, as_int, as_str, exceptions_in
from ..verdict import Strength, Verdict
from . import names, sqlstate, texts
from .known import KNOWN

_T = FailureType
_Codes = Mapping[int, tuple[FailureType, str | None]]


def _codes(*rows: tuple[FailureType, str | None, str]) -> _Codes:
    return {int(code): (kind, reason) for kind, reason, codes in rows for code in codes.split()}


# https://dev.mysql.com/doc/mysql-errors/8.4/en/ (1xxx and 3xxx from the server, 2xxx from the client)
_MYSQL = _codes(
    (_T.TRANSIENT_DATABASE, "contention", "1205 1213 1614 3058 3572"),
    (_T.TRANSIENT_DATABASE, None, """
        1040 1041 1053 1077 1079 1129 1158 1159 1160 1161 1184 1203 1226 1290 1792 1836 1927 2002 2003 2004
        2006 2013 2055 3032 3100 3101"""),
    (_T.TRANSIENT_TIMEOUT, None, "1028 1317 1969 3024"),
    (_T.TRANSIENT_NETWORK, "resolution", "2005"),
    (_T.PERMANENT_AUTH, None,
     "1044 1045 1095 1130 1131 1132 1142 1143 1227 1251 1370 1396 1410 1698 1820 1862 1873 3118 4151 2058 2059"),
    (_T.CONFIG_MISSING_SETTING, None, "1049 1193 2026"),
    (_T.PERMANENT_CONFLICT, None, "1022 1062 1169 1586"),
    (_T.PERMANENT_CONFLICT, "foreign_key", "1216 1217 1451 1452"),
    (_T.PERMANENT_VALIDATION, None, """
        1048 1138 1153 1171 1242 1261 1262 1263 1264 1265 1292 1300 1364 1366 1367 1406 1411 1416 1441 1644 1690 3140
        3141
        3819 4025 1118 1301"""),
    (_T.PERMANENT_CODE_BUG, "schema", "1007 1008 1050 1051 1054 1109 1146 1305 1360"),
    (_T.PERMANENT_CODE_BUG, None,
     "1060 1061 1063 1064 1065 1066 1052 1055 1111 1136 1149 1210 1222 1235 1318 2014 2030"),
    (_T.SYSTEM_OUT_OF_MEMORY, "server_memory", "1037 1038 1135 2008"),
    (_T.SYSTEM_DISK_FULL, None, "1021 1114 3675"),
    (_T.UNKNOWN, "corruption", "1030 1033 1034 1035 1194 1195"),
)  # fmt: skip

_MYSQL_CUT_OFF = frozenset({2006, 2013, 2055})
"""The server was lost with a statement under way."""

# https://www.mongodb.com/docs/manual/reference/error-codes/
_MONGO = _codes(
    (_T.TRANSIENT_DATABASE, "contention", "24 46 112 117 225 244 251"),
    (_T.TRANSIENT_DATABASE, None, """
        6 7 43 63 70 74 75 89 91 100 133 134 136 150 189 202 203 216 234 237 246 262 317 358 384 402 9001 10107
        11600 11602
        13388 13435 13436"""),
    (_T.TRANSIENT_TIMEOUT, None, "50 64 290"),
    (_T.TRANSIENT_RATE_LIMIT, None, "16500"),
    (_T.PERMANENT_AUTH, None, "11 13 18 31 32 33 334 391 8000"),
    (_T.PERMANENT_VALIDATION, None, "2 3 4 9 14 15 16 22 52 53 54 56 57 121 10334 17280 241"),
    (_T.PERMANENT_NOT_FOUND, None, "26 47 60 73"),
    (_T.PERMANENT_CONFLICT, None, "48 68 82 85 86 11000 11001 12582"),
    (_T.PERMANENT_CODE_BUG, None, "20 27 28 40 59 66 67 72 115 168 40323 40324 40353 40415 51024 263 303"),
    (_T.SYSTEM_DISK_FULL, None, "14031"),
    (_T.SYSTEM_OUT_OF_MEMORY, "server_memory", "146 292 16819 39"),
    (_T.TRANSIENT_NETWORK, None, "5 6789"),
)  # fmt: skip

# https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
_SQL_SERVER = _codes(
    (_T.TRANSIENT_DATABASE, "contention", "1205 1222 3960 41301 41302 41305 41325 41839"),
    (_T.TRANSIENT_DATABASE, None, """
        233 615 926 4221 10053 10054 10060 10928 10929 20002 20003 20004 20006 20009 20047 40197 40501 40613 42108 42109
        49918 49919 49920 945 983"""),
    (_T.TRANSIENT_TIMEOUT, None, "-2"),
    (_T.PERMANENT_AUTH, None, "229 230 262 18452 18456 18470 18486 18487 18488 40615 916 20014"),
    (_T.CONFIG_MISSING_SETTING, None, "911 4060 4064"),
    (_T.PERMANENT_CONFLICT, None, "2601 2627"),
    (_T.PERMANENT_CONFLICT, "foreign_key", "547"),
    (_T.PERMANENT_VALIDATION, None, "220 241 242 245 248 295 512 515 2628 8115 8134 8152"),
    (_T.PERMANENT_CODE_BUG, "schema", "207 208 213 2714 2812"),
    (_T.PERMANENT_CODE_BUG, None, "102 105 156 201 209 4104 8144"),
    (_T.SYSTEM_DISK_FULL, None, "1101 1105 9002 5149"),
    (_T.SYSTEM_OUT_OF_MEMORY, "server_memory", "701 802 8645 8651"),
)  # fmt: skip

# https://docs.oracle.com/error-help/db/ and python-oracledb's own DPY numbers
_ORACLE = _codes(
    (_T.TRANSIENT_DATABASE, "contention", "54 60 8177 30006"),
    (_T.TRANSIENT_DATABASE, None, """
        18 20 28 1012 1033 1034 1035 1089 1090 1092 1109 1555 3113 3114 3135 12153 12514 12516 12518 12519 12520
        12526 12527 12528
        12537 12541 12547 12570 12571 12757 16456 25402 25403 25408 25409"""),
    (_T.TRANSIENT_TIMEOUT, None, "1013 3136 12170 12535 12606 12609 51"),
    (_T.TRANSIENT_NETWORK, "resolution", "12545"),
    (_T.PERMANENT_AUTH, None, "1017 1031 1045 28000 28001 28002 28009 1005"),
    (_T.CONFIG_MISSING_SETTING, None, "12154 12505 12504 12162"),
    (_T.PERMANENT_CONFLICT, None, "1"),
    (_T.PERMANENT_CONFLICT, "foreign_key", "2291 2292"),
    (_T.PERMANENT_NOT_FOUND, None, "1403 100"),
    (_T.PERMANENT_VALIDATION, None, "1400 1407 1427 1438 1722 1830 1839 1840 1841 1843 1858 1861 2290 12899 6502 1476"),
    (_T.PERMANENT_CODE_BUG, "schema", "904 942 955 4043"),
    (_T.PERMANENT_CODE_BUG, None, "900 903 905 907 911 913 917 918 920 923 932 933 936 947 1008 6550"),
    (_T.SYSTEM_DISK_FULL, None, "1536 1652 1653 1654 1658 1691 257 19809"),
    (_T.SYSTEM_OUT_OF_MEMORY, "server_memory", "4030 4031 27102"),
)  # fmt: skip

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_CLICKHOUSE = _codes(
    (_T.TRANSIENT_DATABASE, None, "202 203 209 210 242 252 279 319 425 999 225 286 164"),
    (_T.TRANSIENT_TIMEOUT, None, "159 160"),
    (_T.TRANSIENT_RATE_LIMIT, None, "201"),
    (_T.PERMANENT_AUTH, None, "192 193 194 291 497 516 195"),
    (_T.CONFIG_MISSING_SETTING, None, "81 115"),
    (_T.PERMANENT_VALIDATION, None, "6 26 27 33 38 41 53 69 70 72 117 130 131"),
    (_T.PERMANENT_CONFLICT, None, "82"),
    (_T.PERMANENT_CODE_BUG, "schema", "10 16 46 47 57 60"),
    (_T.PERMANENT_CODE_BUG, None, "36 42 43 48 62"),
    (_T.SYSTEM_OUT_OF_MEMORY, "server_memory", "173 241"),
    (_T.SYSTEM_DISK_FULL, None, "243"),
)

# https://www.sqlite.org/rescode.html: extended names first, then the primary name they begin with
_SQLITE: tuple[tuple[str, FailureType, str | None], ...] = (
    ("SQLITE_CONSTRAINT_UNIQUE", _T.PERMANENT_CONFLICT, None),
    ("SQLITE_CONSTRAINT_PRIMARYKEY", _T.PERMANENT_CONFLICT, None),
    ("SQLITE_CONSTRAINT_ROWID", _T.PERMANENT_CONFLICT, None),
    ("SQLITE_CONSTRAINT_FOREIGNKEY", _T.PERMANENT_CONFLICT, "foreign_key"),
    ("SQLITE_CONSTRAINT", _T.PERMANENT_VALIDATION, None),
    ("SQLITE_BUSY", _T.TRANSIENT_DATABASE, "contention"),
    ("SQLITE_LOCKED", _T.TRANSIENT_DATABASE, "contention"),
    ("SQLITE_IOERR_NOMEM", _T.SYSTEM_OUT_OF_MEMORY, None),
    ("SQLITE_NOMEM", _T.SYSTEM_OUT_OF_MEMORY, None),
    ("SQLITE_FULL", _T.SYSTEM_DISK_FULL, None),
    ("SQLITE_IOERR", _T.UNKNOWN, "corruption"),
    ("SQLITE_CORRUPT", _T.UNKNOWN, "corruption"),
    ("SQLITE_NOTADB", _T.UNKNOWN, "corruption"),
    ("SQLITE_CANTOPEN", _T.CONFIG_MISSING_SETTING, None),
    ("SQLITE_READONLY", _T.PERMANENT_AUTH, None),
    ("SQLITE_PERM", _T.PERMANENT_AUTH, None),
    ("SQLITE_AUTH", _T.PERMANENT_AUTH, None),
    ("SQLITE_INTERRUPT", _T.TRANSIENT_TIMEOUT, None),
    ("SQLITE_PROTOCOL", _T.TRANSIENT_DATABASE, None),
    ("SQLITE_SCHEMA", _T.TRANSIENT_DATABASE, None),
    ("SQLITE_TOOBIG", _T.PERMANENT_VALIDATION, None),
    ("SQLITE_MISMATCH", _T.PERMANENT_VALIDATION, None),
    ("SQLITE_RANGE", _T.PERMANENT_CODE_BUG, None),
    ("SQLITE_MISUSE", _T.PERMANENT_CODE_BUG, None),
    ("SQLITE_ERROR", _T.PERMANENT_CODE_BUG, "schema"),
)

# The word a Redis error reply begins with; https://redis.io/docs/latest/develop/reference/protocol-spec/
_REDIS: dict[str, tuple[FailureType, str | None]] = {
    "LOADING": (_T.TRANSIENT_DATABASE, None), "BUSY": (_T.TRANSIENT_DATABASE, "contention"),
    "TRYAGAIN": (_T.TRANSIENT_DATABASE, None), "CLUSTERDOWN": (_T.TRANSIENT_DATABASE, None),
    "MASTERDOWN": (_T.TRANSIENT_DATABASE, None), "READONLY": (_T.TRANSIENT_DATABASE, None),
    "MOVED": (_T.TRANSIENT_DATABASE, None), "ASK": (_T.TRANSIENT_DATABASE, None),
    "NOREPLICAS": (_T.TRANSIENT_DATABASE, None), "UNKILLABLE": (_T.TRANSIENT_DATABASE, None),
    "NOAUTH": (_T.PERMANENT_AUTH, None), "WRONGPASS": (_T.PERMANENT_AUTH, None), "NOPERM": (_T.PERMANENT_AUTH, None),
    "OOM": (_T.TRANSIENT_RESOURCE, None), "MISCONF": (_T.SYSTEM_DISK_FULL, None),
    "WRONGTYPE": (_T.PERMANENT_CODE_BUG, None), "NOSCRIPT": (_T.PERMANENT_CODE_BUG, None),
    "EXECABORT": (_T.PERMANENT_CODE_BUG, None), "CROSSSLOT": (_T.PERMANENT_CODE_BUG, None),
    "BUSYGROUP": (_T.PERMANENT_CONFLICT, None), "BUSYKEY": (_T.PERMANENT_CONFLICT, None),
    "NOGROUP": (_T.PERMANENT_NOT_FOUND, None), "NOTBUSY": (_T.PERMANENT_CODE_BUG, None),
}  # fmt: skip

# DB-API classes of drivers without a code; `OperationalError` says nothing about a password (PEP 249).
_DB_API = {
    "OperationalError": _T.TRANSIENT_DATABASE, "InterfaceError": _T.TRANSIENT_DATABASE,
    "InternalError": _T.TRANSIENT_DATABASE, "IntegrityError": _T.PERMANENT_CONFLICT,
    "DataError": _T.PERMANENT_VALIDATION, "ProgrammingError": _T.PERMANENT_CODE_BUG,
    "NotSupportedError": _T.PERMANENT_CODE_BUG, "DatabaseError": _T.TRANSIENT_DATABASE,
}  # fmt: skip
_DRIVERS = frozenset({
    "psycopg", "psycopg2", "pg8000", "asyncpg", "aiopg", "sqlite3", "aiosqlite", "pymysql", "MySQLdb",
    "mysql",
    "aiomysql", "asyncmy", "mariadb", "mysql_connector", "pymssql", "mssql", "pyodbc", "oracledb", "cx_Oracle",
    "snowflake", "duckdb", "ibm_db_dbi", "pyhive", "trino", "clickhouse_driver", "clickhouse_connect",
    "hdbcli", "firebird", "teradatasql", "databricks", "vertica_python", "redshift_connector", "apsw",
})  # fmt: skip
_MYSQL_ROOTS = ("pymysql", "MySQLdb", "mysql", "aiomysql", "asyncmy", "mariadb", "mysql_connector")
_SQL_SERVER_ROOTS = ("pymssql", "mssql")
_ORACLE_ROOTS = ("oracledb", "cx_Oracle")
_ORACLE_CODE = r"\bORA-(\d{5})\b"
_CLICKHOUSE_CODE = r"\b[Cc]ode: (\d{1,4})\b"
_DPY_KINDS = {
    "DPY-6005": _T.TRANSIENT_DATABASE, "DPY-4011": _T.TRANSIENT_DATABASE, "DPY-6001": _T.CONFIG_MISSING_SETTING,
    "DPY-6000": _T.TRANSIENT_DATABASE, "DPY-4005": _T.TRANSIENT_RESOURCE, "DPY-4024": _T.TRANSIENT_TIMEOUT,
    "DPY-4000": _T.CONFIG_MISSING_SETTING, "DPY-1001": _T.TRANSIENT_DATABASE, "DPY-4001": _T.CONFIG_MISSING_SETTING,
}  # fmt: skip


def read_number(look: Look) -> Verdict | None:
    """The database's own number: finer than the SQLSTATE that comes with it."""
    for root in look.facts.roots:
        reader = _READERS.get(root)
        if reader is not None:
            verdict = reader(look)
            if verdict is not None:
                return verdict
    return None


def read_class(look: Look) -> Verdict | None:
    """The class of PEP 249, for drivers that give no code; SQLAlchemy's wrapper of its own complaints."""
    if look.facts.keys[0] == "sqlalchemy.StatementError":
        return _wrapped_complaint(look)
    return _by_db_api(look) if not look.facts.roots.isdisjoint(_DRIVERS) or _is_db_api(look.facts.keys) else None


def _wrapped_complaint(look: Look) -> Verdict | None:
    """A value that cannot be bound is data; an error of SQLAlchemy's own inside knows better what it is."""
    own = exceptions_in((look.read("orig"),))
    if not own or not type(own[0]).__module__.startswith("sqlalchemy."):
        return None
    return KNOWN["sqlalchemy.StatementError"]._replace(strength=Strength.GENERIC)


def _is_db_api(keys: Sequence[str]) -> bool:
    """The ladder of PEP 249 in one package: ``Error``, below it ``DatabaseError``, below that its kinds."""
    package = keys[0].rpartition(".")[0]
    return f"{package}.DatabaseError" in keys and f"{package}.Error" in keys and keys[0] not in KNOWN


def _numbered(table: _Codes, source: str, code: int | None) -> Verdict | None:
    if code is None or code not in table:
        return None
    kind, reason = table[code]
    return Verdict(
        type=kind, rule=f"{source}.{code}", detail=f"{source} error {code}", reason=reason,
        retryable=False if reason == "corruption" else None,
    )  # fmt: skip


def _first_number(look: Look) -> int | None:
    args = look.exc.args
    return look.integer("errno") or (as_int(args[0]) if args else None)


def _mysql(look: Look) -> Verdict | None:
    code = _first_number(look)
    verdict = _numbered(_MYSQL, "mysql", code)
    return verdict._replace(effect=Effect.UNKNOWN) if verdict is not None and code in _MYSQL_CUT_OFF else verdict


def _sql_server(look: Look) -> Verdict | None:
    return _numbered(_SQL_SERVER, "mssql", look.integer("number") or _first_number(look))


def _clickhouse(look: Look) -> Verdict | None:
    code = look.integer("code")
    match = None if code is not None else re.search(_CLICKHOUSE_CODE, look.text[:500])
    return _numbered(_CLICKHOUSE, "clickhouse", int(match[1]) if match else code)


def _oracle(look: Look) -> Verdict | None:
    kind = _DPY_KINDS.get(look.text[:8])
    if kind is not None:
        return Verdict(type=kind, rule=f"oracle.{look.text[:8]}", detail=look.text[:8])
    match = re.search(_ORACLE_CODE, look.text[:1000])
    return _numbered(_ORACLE, "oracle", int(match[1])) if match else None


def _odbc(look: Look) -> Verdict | None:
    args = look.exc.args
    code = as_str(args[0]) if args else None
    return sqlstate.verdict_of(code, look) if code is not None and len(code) == len("40001") else None


def _fields(look: Look) -> Verdict | None:
    """pg8000 raises the fields of the wire's error message, ``{"C": "23505", "M": "..."}``."""
    fields = look.exc.args[0] if look.exc.args else None
    code = as_str(fields.get("C")) if type(fields) is dict else None
    return None if code is None else sqlstate.verdict_of(code, look)


def _mongo(look: Look) -> Verdict | None:
    details = look.read("details")
    write_errors = details.get("writeErrors") if type(details) is dict else None
    if type(write_errors) is list and write_errors and type(write_errors[0]) is dict:
        verdict = _numbered(_MONGO, "mongodb", as_int(write_errors[0].get("code")))
        if verdict is not None:
            return verdict
    verdict = _numbered(_MONGO, "mongodb", look.integer("code"))
    if verdict is None and any(
        look.call(look.read("has_error_label"), label) is True
        for label in ("TransientTransactionError", "RetryableWriteError")
    ):
        return Verdict(type=_T.TRANSIENT_DATABASE, rule="mongodb.label", detail="labelled retryable by MongoDB")
    return verdict


def _sqlite(look: Look) -> Verdict | None:
    name = look.string("sqlite_errorname")
    if name is None:
        return None
    for prefix, kind, reason in _SQLITE:
        if name.startswith(prefix):
            return Verdict(
                type=kind, rule=f"sqlite.{name}", detail=name, reason=reason, effect=Effect.REJECTED,
                retryable=False if reason == "corruption" else None,
            )  # fmt: skip
    return None


def _redis(look: Look) -> Verdict | None:
    word = look.text[:80].partition(" ")[0].rstrip(":")
    if word not in _REDIS:
        return None
    kind, reason = _REDIS[word]
    return Verdict(type=kind, rule=f"redis.{word}", detail=f"Redis replied {word}", reason=reason)


def _by_db_api(look: Look) -> Verdict | None:
    """Only words tell a wrong password from a lost connection where the driver gives no code."""
    key, kind = _db_api_kind(look.facts.keys)
    if kind is None:
        return None
    said = _said_beside(look, key) if kind is _T.TRANSIENT_DATABASE else None
    if said is not None and said.type is not _T.TRANSIENT_NETWORK:
        # The driver's own words: they say more than the class of whatever wraps it.
        return said._replace(strength=Strength.CLASS, confidence=0.8)
    return Verdict(type=kind, rule=f"dbapi.{key}", detail=key, strength=Strength.CARRIER, confidence=0.8)


def _db_api_kind(keys: Sequence[str]) -> tuple[str, FailureType | None]:
    """The most derived class of PEP 249, unless a class below it is known."""
    for key in keys:
        kind = None if key in KNOWN else _DB_API.get(key.rpartition(".")[2])
        if kind is not None or key in KNOWN:
            return key, kind
    return "", None


def _said_beside(look: Look, coarse: str) -> Verdict | None:
    """What a driver's own subclass is called, such as ``OutOfMemoryException``, or what the message says."""
    for key in look.facts.keys[: look.facts.keys.index(coarse)]:
        named = names.verdict_of_name(key)
        if named is not None and named.type not in names.COARSE:
            return named
    return texts.read_text(look.text, look)


_READERS: dict[str, Callable[[Look], Verdict | None]] = {
    **dict.fromkeys(_MYSQL_ROOTS, _mysql),
    **dict.fromkeys(_SQL_SERVER_ROOTS, _sql_server),
    **dict.fromkeys(_ORACLE_ROOTS, _oracle),
    "clickhouse_driver": _clickhouse,
    "clickhouse_connect": _clickhouse,
    "pyodbc": _odbc,
    "pg8000": _fields,
    "pymongo": _mongo,
    "sqlite3": _sqlite,
    "redis": _redis,
    "valkey": _redis,
}

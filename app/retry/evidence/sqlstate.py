"""SQLSTATE: Postgres' own codes first, then the class of the code, which other databases share.

Codes and classes: https://www.postgresql.org/docs/18/errcodes-appendix.html
"""

from ..failure import Effect, FailureType
from ..look import Look
from ..verdict import Verdict

_T = FailureType
_LENGTH = 5

# (type, reason, retryable or None for the type's own, effect, codes): each code with its condition name.
_Row = tuple[FailureType, str | None, bool | None, Effect | None, str]
_ROWS: tuple[_Row, ...] = (
    (_T.TRANSIENT_DATABASE, "contention", None, Effect.REJECTED, """
        40000 transaction_rollback; 40001 serialization_failure; 40P01 deadlock_detected;
        55P03 lock_not_available; 55006 object_in_use"""),
    (_T.TRANSIENT_DATABASE, None, None, Effect.UNKNOWN, """
        40003 statement_completion_unknown; 08007 transaction_resolution_unknown;
        08006 connection_failure; 08000 connection_exception; 08003 connection_does_not_exist"""),
    (_T.TRANSIENT_DATABASE, None, None, Effect.NOT_SENT, """
        08001 sqlclient_unable_to_establish_sqlconnection; 08004 sqlserver_rejected_establishment_of_sqlconnection;
        57P03 cannot_connect_now"""),
    (_T.TRANSIENT_DATABASE, "capacity", None, Effect.NOT_SENT, "53300 too_many_connections"),
    (_T.TRANSIENT_DATABASE, "capacity", None, Effect.REJECTED, """
        53000 insufficient_resources; 53400 configuration_limit_exceeded"""),
    (_T.TRANSIENT_DATABASE, None, None, Effect.REJECTED, """
        57P01 admin_shutdown; 57P02 crash_shutdown; 57P05 idle_session_timeout;
        25P03 idle_in_transaction_session_timeout; 25006 read_only_sql_transaction;
        26000 invalid_sql_statement_name; 57000 operator_intervention; 55000 object_not_in_prerequisite_state;
        72000 snapshot_too_old"""),
    (_T.TRANSIENT_TIMEOUT, None, None, Effect.REJECTED, "57014 query_canceled; 25P04 transaction_timeout"),
    (_T.PERMANENT_CONFLICT, None, None, Effect.REJECTED, """
        40002 transaction_integrity_constraint_violation; 23505 unique_violation; 23P01 exclusion_violation;
        23000 integrity_constraint_violation; 23001 restrict_violation; 2BP01 dependent_objects_still_exist"""),
    (_T.PERMANENT_CONFLICT, "foreign_key", None, Effect.REJECTED, "23503 foreign_key_violation"),
    (_T.PERMANENT_NOT_FOUND, None, None, Effect.REJECTED, """
        P0002 no_data_found; 02000 no_data; 02001 no_additional_dynamic_result_sets_returned;
        58P01 undefined_file"""),
    (_T.PERMANENT_VALIDATION, None, None, Effect.REJECTED, """
        21000 cardinality_violation; 23502 not_null_violation; 23514 check_violation;
        44000 with_check_option_violation; P0001 raise_exception; P0003 too_many_rows;
        27000 triggered_data_change_violation;
        10608 invalid_argument_for_xquery; 2200L not_an_xml_document"""),
    (_T.PERMANENT_AUTH, None, None, Effect.REJECTED, """
        28000 invalid_authorization_specification; 28P01 invalid_password; 42501 insufficient_privilege;
        0L000 invalid_grantor; 0LP01 invalid_grant_operation; 0P000 invalid_role_specification"""),
    (_T.CONFIG_MISSING_SETTING, None, None, Effect.NOT_SENT, """
        3D000 invalid_catalog_name; F0000 config_file_error; F0001 lock_file_exists"""),
    (_T.PERMANENT_CODE_BUG, "schema", None, Effect.REJECTED, """
        3F000 invalid_schema_name; 42P01 undefined_table; 42703 undefined_column; 42883 undefined_function;
        42704 undefined_object; 58P02 duplicate_file; 42710 duplicate_object; 42P07 duplicate_table;
        42P06 duplicate_schema; 42P04 duplicate_database; 42701 duplicate_column"""),
    (_T.PERMANENT_CODE_BUG, None, None, Effect.REJECTED, """
        08P01 protocol_violation; 25000 invalid_transaction_state; 25001 active_sql_transaction;
        25P01 no_active_sql_transaction; 25P02 in_failed_sql_transaction; 0A000 feature_not_supported;
        55P02 cant_change_runtime_param;
        55P04 unsafe_new_enum_value_usage"""),
    (_T.SYSTEM_DISK_FULL, None, None, Effect.REJECTED, "53100 disk_full"),
    (_T.SYSTEM_OUT_OF_MEMORY, "server_memory", None, Effect.REJECTED, "53200 out_of_memory"),
    (_T.UNKNOWN, "corruption", False, None, """
        58000 system_error; 58030 io_error; XX001 data_corrupted; XX002 index_corrupted"""),
    (_T.UNKNOWN, None, None, None, "XX000 internal_error; P0004 assert_failure"),
    (_T.TRANSIENT_DATABASE, None, None, Effect.NOT_SENT, "57P04 database_dropped; 08S01 communication_link_failure"),
    (_T.TRANSIENT_TIMEOUT, None, None, Effect.UNKNOWN, "HYT00 timeout_expired; HYT01 connection_timeout_expired"),
)  # fmt: skip

# The first two characters, for every code without a row of its own.
_CLASSES: dict[str, FailureType] = {
    "02": _T.PERMANENT_NOT_FOUND, "03": _T.PERMANENT_CODE_BUG, "07": _T.PERMANENT_CODE_BUG,
    "08": _T.TRANSIENT_DATABASE, "09": _T.PERMANENT_CODE_BUG, "0A": _T.PERMANENT_CODE_BUG,
    "0B": _T.PERMANENT_CODE_BUG, "0F": _T.PERMANENT_CODE_BUG, "0L": _T.PERMANENT_AUTH, "0P": _T.PERMANENT_AUTH,
    "0Z": _T.PERMANENT_CODE_BUG, "10": _T.PERMANENT_VALIDATION, "20": _T.PERMANENT_CODE_BUG,
    "21": _T.PERMANENT_VALIDATION, "22": _T.PERMANENT_VALIDATION, "23": _T.PERMANENT_CONFLICT,
    "24": _T.PERMANENT_CODE_BUG, "25": _T.PERMANENT_CODE_BUG, "26": _T.TRANSIENT_DATABASE,
    "27": _T.PERMANENT_VALIDATION, "28": _T.PERMANENT_AUTH, "2B": _T.PERMANENT_CONFLICT,
    "2D": _T.PERMANENT_CODE_BUG, "2F": _T.PERMANENT_CODE_BUG, "34": _T.PERMANENT_CODE_BUG,
    "38": _T.PERMANENT_CODE_BUG, "39": _T.PERMANENT_CODE_BUG, "3B": _T.PERMANENT_CODE_BUG,
    "3D": _T.CONFIG_MISSING_SETTING, "3F": _T.PERMANENT_CODE_BUG, "40": _T.TRANSIENT_DATABASE,
    "42": _T.PERMANENT_CODE_BUG, "44": _T.PERMANENT_VALIDATION, "53": _T.TRANSIENT_DATABASE,
    "54": _T.PERMANENT_CODE_BUG, "55": _T.PERMANENT_CONFLICT, "57": _T.TRANSIENT_DATABASE,
    "58": _T.UNKNOWN, "72": _T.TRANSIENT_DATABASE, "F0": _T.CONFIG_MISSING_SETTING,
    "HV": _T.PERMANENT_CODE_BUG, "P0": _T.PERMANENT_VALIDATION, "XX": _T.UNKNOWN,
    "HW": _T.PERMANENT_VALIDATION, "XA": _T.TRANSIENT_DATABASE,
}  # fmt: skip
# SQLSTATE of the foreign data wrapper class that speak of the road, not of the call.
_FOREIGN_DATA = {"HV00N": _T.TRANSIENT_DATABASE, "HV00B": _T.PERMANENT_CODE_BUG, "HV001": _T.SYSTEM_OUT_OF_MEMORY}


def _table() -> dict[str, Verdict]:
    table: dict[str, Verdict] = {}
    for kind, reason, retryable, effect, codes in _ROWS:
        for entry in codes.split(";"):
            code, name = entry.split()
            table[code] = Verdict(
                type=kind,
                rule=f"sqlstate.{code}",
                detail=f"SQLSTATE {code}, {name.replace('_', ' ')}",
                reason=reason,
                retryable=retryable,
                effect=effect,
                secondary=code == "25P02",
            )
    return table


_TABLE = _table()


def read(look: Look) -> Verdict | None:
    """`sqlstate` (psycopg 3, asyncpg) or `pgcode` (psycopg 2)."""
    code = look.string("sqlstate") or look.string("pgcode")
    if code is None or len(code) != _LENGTH or not (code.isascii() and code.isalnum()):
        return None
    return verdict_of(code.upper(), look)


def verdict_of(code: str, look: Look) -> Verdict | None:
    """The verdict of a SQLSTATE; the text refines those codes that mean two things."""
    if code == "57014" and "user request" in look.text:
        return Verdict(
            type=_T.UNKNOWN, rule="sqlstate.57014.user", detail="SQLSTATE 57014, cancelled on user request",
            retryable=False, reason="user_request", effect=Effect.REJECTED,
        )  # fmt: skip
    if code == "0A000" and "cached plan" in look.text:
        return Verdict(
            type=_T.TRANSIENT_DATABASE, rule="sqlstate.0A000.plan", detail="SQLSTATE 0A000, stale cached plan",
            effect=Effect.REJECTED,
        )  # fmt: skip
    if code.startswith("08") and "password" in look.text:
        return Verdict(
            type=_T.PERMANENT_AUTH, rule=f"sqlstate.{code}.password", detail=f"SQLSTATE {code}, over a password",
            effect=Effect.REJECTED,
        )  # fmt: skip
    return _TABLE.get(code) or _verdict_of_class(code)


def _verdict_of_class(code: str) -> Verdict | None:
    kind = _FOREIGN_DATA.get(code) or _CLASSES.get(code[:2])
    if kind is None:
        return None
    return Verdict(type=kind, rule=f"sqlstate.{code[:2]}", detail=f"SQLSTATE {code}", confidence=0.95)

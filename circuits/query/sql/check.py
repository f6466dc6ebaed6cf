"""The gate of untrusted SQL: one SELECT over known tables with known functions, or a refusal that says why.

Everything is a list of what is allowed: kinds of syntax, tables, macros, functions (`functions.py`). What
passes is written out anew from the syntax tree that was checked, and that is what the engine gets: no
comment, no odd spelling, no second statement reaches it.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

from circuits.errors import MissingPackage, UsageError, near_matches
from circuits.query.sql.child import CATALOGUE
from circuits.query.sql.functions import FUNCTIONS
from circuits.query.sql.tables import MACROS, TABLES

if TYPE_CHECKING:
    from sqlglot import exp

LONGEST: Final = 20_000
"""Bytes of a statement, as written and as written anew; a request with both fits into a pipe."""
DEEPEST: Final = 40
"""Brackets and CASEs inside each other."""
MOST_TOKENS: Final = 5_000
PREFIXES: Final = 50
"""NOTs, signs, arrows and casts in a row."""

ONE_SELECT: Final = "A query is one SELECT over the tables of the run"
_UNHEARD: Final = logging.NullHandler()
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MISSING: Final = re.compile(r"Required keyword: '\w+' missing for <class '[\w.]*?(\w+)'>")
_CALLED: Final = re.compile(r"\s*\"?(\w+)\"?\s*\(")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SYNTAX: Final = _set("""
    Select From Where Group Having Qualify Order Ordered Limit Offset Join With CTE RecursiveWithSearch
    Union Intersect Except Subquery TableAlias Alias Aliases Identifier Star Literal Boolean Null Paren
    Tuple Distinct Window WindowSpec Filter WithinGroup IgnoreNulls RespectNulls Lambda PropertyEQ Kwarg
    Slice Bracket Dot Interval Var DataTypeParam Values Rollup Cube GroupingSets Comprehension
    Neg Not BitwiseNot And Or Xor EQ NEQ NullSafeEQ NullSafeNEQ GT GTE LT LTE Is In Between Like ILike
    Escape Add Sub Mul Div IntDiv Mod DPipe SafeConcat RegexpLike RegexpFullMatch RegexpILike Any All
    BitwiseAnd BitwiseOr BitwiseXor BitwiseLeftShift BitwiseRightShift Pow ArrayOverlaps ArrayContainsAll
    ArrayContainedBy Array Struct Case If
""")
"""What a SELECT is made of, by sqlglot's class names; tables, columns, types and functions are looked at
one by one."""

_TYPES: Final = _set("""
    BOOLEAN TINYINT SMALLINT INT BIGINT INT128 UTINYINT USMALLINT UINT UBIGINT UINT128 FLOAT DOUBLE DECIMAL
    TEXT VARCHAR CHAR LIST ARRAY STRUCT
""")

_CALLED_WITHOUT_BRACKETS: Final = _set("""
    current_user session_user user current_role current_catalog current_database current_schema
    current_date current_time current_timestamp localtime localtimestamp
""")


def admitted(sql: str) -> str:
    """Gives the statement as the engine shall run it, written anew from what was checked.

    Args:
        sql: what somebody asked.

    Raises:
        MissingPackage: sqlglot is not installed.
        UsageError: it is not one SELECT over known tables with known functions; the sentence names what
            is not allowed.

    Example:
        >>> admitted("select count(*) from edges -- all")
        'SELECT COUNT(*) FROM edges'
    """
    try:
        import sqlglot
        from sqlglot.errors import SqlglotError
    except ImportError as cause:
        raise MissingPackage(
            "Queries in SQL need DuckDB and sqlglot: pip install 'clearbox-circuits[sql]'."
        ) from cause
    _check_text(sql)
    logging.getLogger("sqlglot").addHandler(_UNHEARD)  # it warns of what is refused here anyway
    try:
        _check_tokens(sqlglot.tokenize(sql, read="duckdb"))
        text = _checked(sql)
        _check_size(text)
        return _checked(text)  # what was written anew is read anew: writing added nothing
    except RecursionError as cause:
        raise UsageError("The query is nested too deeply: make it flatter, with WITH for example.") from cause
    except SqlglotError as cause:
        raise UsageError(f"The query is no SQL that can be read: {_first(cause)}.") from cause


def _checked(sql: str) -> str:
    import sqlglot

    parsed = [tree for tree in sqlglot.parse(sql, read="duckdb") if tree is not None]
    if len(parsed) != 1:
        raise UsageError(f"{ONE_SELECT}, not {len(parsed)} statements.")
    _check_tree(parsed[0])
    return parsed[0].sql(dialect="duckdb", comments=False)


def _check_size(sql: str) -> None:
    size = len(sql.encode("utf-8", "surrogatepass"))
    if size > LONGEST:
        raise UsageError(f"The query has {size:,} bytes: at most {LONGEST:,} are read.")


def _check_text(sql: str) -> None:
    _check_size(sql)
    odd = _CONTROL.search(sql)
    if odd or any("\ud800" <= sign <= "\udfff" for sign in sql):
        what = f"the control character {ord(odd[0])}" if odd else "half a character"
        raise UsageError(f"The query holds {what}: SQL is plain text.")
    if not sql.strip():
        raise UsageError(f"The query is empty. {ONE_SELECT}.")


def _check_tokens(tokens: list[Any]) -> None:
    """Refuses other statements by their first word, and what would be too much for a parser."""
    words = [str(token.text).upper() for token in tokens]
    kinds = [token.token_type.name for token in tokens]
    if not tokens:
        raise UsageError(f"The query is empty. {ONE_SELECT}.")
    first = next((word for word in words if word != "("), "(")
    if first not in ("SELECT", "WITH", "FROM", "VALUES"):
        raise UsageError(f"{ONE_SELECT}: {first[:40]} is not allowed.")
    ends = [i for i, kind in enumerate(kinds) if kind == "SEMICOLON"]
    if ends and any(kind != "SEMICOLON" for kind in kinds[ends[0] :]):
        raise UsageError(f"{ONE_SELECT}, not several statements: leave out what follows the semicolon.")
    if len(tokens) > MOST_TOKENS:
        raise UsageError(f"The query has {len(tokens):,} words and signs: at most {MOST_TOKENS:,} are read.")
    depth = prefixes = 0
    for word, kind in zip(words, kinds, strict=True):
        depth += kind in ("L_PAREN", "L_BRACKET", "L_BRACE", "CASE")
        depth -= kind in ("R_PAREN", "R_BRACKET", "R_BRACE", "END")
        prefixes = prefixes + 1 if word in ("NOT", "-", "+", "~", "->") else 0
        if depth > DEEPEST or prefixes > PREFIXES:
            raise UsageError("The query is nested too deeply: make it flatter, with WITH for example.")


def _check_tree(tree: exp.Expr) -> None:
    from sqlglot import exp

    if not isinstance(tree, exp.Query | exp.Values):
        raise UsageError(f"{ONE_SELECT}: {type(tree).__name__.upper()} is not allowed.")
    looked_at: dict[type, Callable[..., None]] = {
        exp.Table: _check_table,
        exp.CTE: _check_cte,
        exp.DataType: _check_type,
        exp.Column: _check_column,
        exp.Lateral: _check_lateral,
    }
    for node in tree.walk():
        kind = type(node)
        if kind in looked_at:
            looked_at[kind](node)
        elif kind.__name__ not in _SYNTAX:
            if not isinstance(node, exp.Func | exp.UDTF):
                raise UsageError(f"{_words(kind.__name__)} is not allowed in a query.")
            _check_function(node)


def _check_type(node: exp.DataType) -> None:
    if node.this.name not in _TYPES:
        raise UsageError(f"The type {node.sql('duckdb')[:60]} is not allowed in a query.")


def _check_column(node: exp.Column) -> None:
    if node.name.lower() in _CALLED_WITHOUT_BRACKETS:
        raise UsageError(f"{node.name[:60]} is not allowed in a query.")
    if node.args.get("db") or node.args.get("catalog"):
        raise UsageError(f"{node.sql('duckdb')[:60]} names a schema: write table.column.")


def _check_lateral(node: exp.Lateral) -> None:
    if set(_given(node)) - {"this", "alias"}:
        raise UsageError("LATERAL VIEW is not allowed in a query.")


def _check_function(node: exp.Expr) -> None:
    """Refuses what is not on the list, by the name the engine would see."""
    from sqlglot import exp

    named = node.name if isinstance(node, exp.Anonymous) else None
    called = _CALLED.match(node.sql(dialect="duckdb", comments=False))
    bare = type(node).sql_names()[0] if isinstance(node, exp.Func) else type(node).__name__
    name = (named or (called[1] if called else bare)).lower()
    if name in MACROS and isinstance(node.parent, exp.Table) and named:
        return
    if name in MACROS:
        raise UsageError(f"{name} gives a table: write FROM {name}(…).")
    if isinstance(node.parent, exp.Table | exp.From | exp.Join | exp.Lateral) and name != "unnest":
        raise UsageError(f"The table function {name[:60]} is not allowed.{_near(name, MACROS)}")
    if name not in FUNCTIONS:
        raise UsageError(f"The function {name[:60]} is not allowed in a query.{_near(name, FUNCTIONS)}")


def _check_table(node: exp.Table) -> None:
    from sqlglot import exp

    extra = sorted(set(_given(node)) - {"this", "alias", "db", "catalog", "joins"})
    if extra:
        raise UsageError(f"{', '.join(map(_words, extra))} of a table is not allowed in a query.")
    name, schema = node.name.lower(), node.db.lower()
    if node.catalog or schema not in ("", "main", "recurring"):
        raise UsageError(f"{node.sql('duckdb')[:60]} is not allowed: write it without its schema.")
    if not isinstance(node.this, exp.Identifier):
        return  # a table function: looked at as a function
    visible = set(_visible(node))
    if schema == "recurring" and name in visible:
        return
    if schema == "recurring" or (name not in TABLES and (schema or name not in visible)):
        raise UsageError(f"There is no table {node.name[:60]!r}.{_near(name, [*TABLES, *visible])}")


def _check_cte(node: exp.CTE) -> None:
    name = node.alias.lower()
    if name in TABLES or name in MACROS or name.startswith(CATALOGUE):
        raise UsageError(f"WITH {node.alias[:60]}: this name is taken, choose another.")


def _visible(node: exp.Expr) -> Iterator[str]:
    """Gives the names of the WITH clauses a table name can mean: those around it, written before it."""
    from sqlglot import exp

    inner, outer = node, node.parent
    while outer is not None:
        if isinstance(outer, exp.With):
            place = next((i for i, cte in enumerate(outer.expressions) if cte is inner), 0)
            yield from (cte.alias.lower() for cte in outer.expressions[: place + bool(outer.recursive)])
        else:
            scope = outer.args.get("with_") or outer.args.get("with")
            if isinstance(scope, exp.With) and scope is not inner:
                yield from (cte.alias.lower() for cte in scope.expressions)
        inner, outer = outer, outer.parent


def _given(node: exp.Expr) -> list[str]:
    return [name for name, value in node.args.items() if value not in (None, False, [])]


def _near(name: str, known: Collection[str]) -> str:
    return near_matches(name, difflib.get_close_matches(name, list(known), cutoff=0.75))


def _words(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).replace("_", " ").upper()


def _first(error: Exception) -> str:
    """Gives what a parser says, without the picture it draws."""
    details = getattr(error, "errors", None) or [{}]
    said, line, column = (details[0].get(key) for key in ("description", "line", "col"))
    text = _MISSING.sub(r"something is missing after \1", str(said or error).split("\n")[0]).rstrip(". ")[
        :200
    ]
    return f"{text} (line {line}, column {column})" if line else text

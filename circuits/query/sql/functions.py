"""The functions an untrusted query may call.

A list of what is allowed, not of what is forbidden: a function the engine gains tomorrow is refused until
somebody has looked at it. These compute from their arguments alone. Left out on purpose: what reads files,
settings, variables or the catalogue (read_*, glob, getenv, current_setting, getvariable, duckdb_*, pragma_*),
what runs text as SQL (query, query_table), what makes rows or lists out of a number (range,
generate_series, repeat of a list), the clock, and random numbers, so that a query has one answer.
"""

from __future__ import annotations

from typing import Final

_AGGREGATES: Final = """
any_value approx_count_distinct approx_quantile arg_max arg_min array_agg avg bool_and bool_or corr count
count_if count_star covar_pop covar_samp entropy favg first fsum geometric_mean group_concat histogram
kurtosis last list listagg mad max max_by mean median min min_by mode product quantile quantile_cont
quantile_disc regr_intercept regr_r2 regr_slope skewness stddev stddev_pop stddev_samp string_agg sum
var_pop var_samp variance
"""
_WINDOWS: Final = """
cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
"""
_NUMBERS: Final = """
abs acos asin atan atan2 cbrt ceil ceiling cos cosh degrees even exp floor gcd greatest isfinite isinf
isnan lcm least ln log log10 log2 mod pi pow power radians round sign sin sinh sqrt tan tanh trunc
"""
_TEXT: Final = """
ascii chr concat concat_ws contains ends_with instr left length levenshtein lower lpad ltrim position
prefix regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace repeat replace
reverse right rpad rtrim split split_part starts_with str_split string_split strlen strpos substr substring
suffix trim upper
"""
_LISTS: Final = """
array_contains array_length array_reverse_sort array_to_string flatten len list_any_value list_avg
list_concat list_contains list_count list_distinct list_element list_extract list_filter list_has
list_has_all list_has_any list_max list_min list_position list_reduce list_reverse_sort list_slice
list_sort list_sum list_transform list_unique list_value unnest
"""
_OTHERS: Final = """
case cast coalesce columns exists if ifnull nullif row struct_extract struct_pack try_cast
"""

FUNCTIONS: Final = frozenset(
    " ".join((_AGGREGATES, _WINDOWS, _NUMBERS, _TEXT, _LISTS, _OTHERS)).split(),
)
"""Names of allowed functions, in lower case, as the engine knows them."""

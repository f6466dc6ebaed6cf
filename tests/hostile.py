"""Texts that would do harm, or break a page, a terminal or a figure, if taken for more than text."""

HOSTILE = (
    '<img src=x onerror="window.hacked=1">',
    "</script><script>window.hacked=1</script>",
    "<!--<script>",
    "]]><svg onload=window.hacked=1>",
    "{{7*7}} ${7*7} {% raw %}",
    "javascript:window.hacked=1",
    '" onmouseover="window.hacked=1',
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00 \x08",
    "\u202edrow a sa\u202c \u2066isolated\u2069",
    "[bold]markup[/bold] [link=file:///etc]x[/link]",
    "$\\frac{1}{0}$ _{sub}^ %&#~",
    "line\nbreak\ttab\r\n",
    "\ud7ff\ufffe\u2028\u2029",
    "a" * 10_000,
    "'; DROP TABLE nodes; --",
    "",
    " ",
)

"""HTML as text that cannot be forged: what is not ``Html`` is escaped when it is put in."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Iterable
from html import escape

from fastapi.responses import HTMLResponse

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--good:#0a7a45;--bad:#c5352b;--warn:#96700a;
--busy:#2a6fc4;--faint:#8888}
@media(prefers-color-scheme:dark){:root{--good:#4cc38a;--bad:#ff8278;--warn:#e0b13c;--busy:#7db4ff}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:78rem;padding:1rem 1.2rem 4rem}
header{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;align-items:baseline;
border-bottom:1px solid var(--line);padding-bottom:.6rem}
header h1{font-size:1.35rem;margin:0}header nav{display:flex;flex-wrap:wrap;gap:.1rem 1rem}
header form{margin-left:auto}
h2{font-size:1.12rem;margin:2rem 0 .4rem}h2 small{font-weight:400;opacity:.7;margin-left:.4rem}
a{color:var(--busy);text-decoration:none}a:hover,a:focus{text-decoration:underline}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .9rem .3rem 0;
border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{font-weight:600;opacity:.75;font-size:.86rem;white-space:nowrap}
td.figure,th.figure{text-align:right;padding-right:1.8rem;font-variant-numeric:tabular-nums;white-space:nowrap}
td.time{white-space:nowrap;font-variant-numeric:tabular-nums}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:var(--soft);padding:.8rem;overflow:auto;max-height:26rem;white-space:pre-wrap;
overflow-wrap:anywhere;border-radius:.3rem;margin:.4rem 0}
summary{cursor:pointer}summary code{white-space:pre-wrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:.8rem 0}
dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}
.state{border-radius:.3rem;padding:.05rem .5rem;background:var(--soft);font-weight:600;
white-space:nowrap;font-size:.86rem}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}.busy{color:var(--busy)}
.none{opacity:.65}.note{opacity:.75;font-size:.9rem}
.login{max-width:28rem;margin:12vh auto 0}.login input{width:100%;font:inherit;padding:.5rem;
margin:.3rem 0 .8rem}button{font:inherit;padding:.3rem .9rem;cursor:pointer}
header button{font-size:.86rem;padding:.1rem .6rem}
@media(max-width:44rem){.wide{display:none}body{padding:.8rem}td,th,td.figure,th.figure{padding-right:.6rem}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}}
"""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    # No script can run whatever a name says, and the page loads and tells nothing elsewhere.
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

_GOOD = {"SUCCESS", "SUCCEEDED", "COMPLETED", "READY", "DEPLOYMENT_READY", "FINISHED", "UP"}
_BAD = {
    "FAILED",
    "TIMEDOUT",
    "INTERNAL_ERROR",
    "UPSTREAM_FAILED",
    "UPDATE_FAILED",
    "ERROR",
    "DOWN",
    "DEPLOYMENT_FAILED",
}
_WARN = {"CANCELED", "SKIPPED", "UPSTREAM_CANCELED", "EXCLUDED", "CLOSED", "NOT_READY", "STOPPED",
         "SUCCESS_WITH_FAILURES"}  # fmt: skip


class Html(str):
    """Text that is HTML already."""


def text(value: object) -> Html:
    """Anything as HTML: escaped, unless it is HTML; nothing for None."""
    if isinstance(value, Html):
        return value
    return Html(escape("" if value is None else str(value)))


def join(parts: Iterable[object]) -> Html:
    return Html("".join(text(part) for part in parts))


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """An element; ``input`` has no end. ``class_`` stands for class, a None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name == "input" else f"{join(content)}</{name}>"
    return Html(f"<{name}{given}>{end}")


def link(address: str, label: object) -> Html:
    return tag("a", label, href=address)


def state(name: object) -> Html:
    """A state in the colour of what it means."""
    word = str(name)
    kind = (
        "good" if word in _GOOD else "bad" if word in _BAD else "warn" if word in _WARN else "busy"
    )
    return tag("span", word, class_=f"state {kind}")


def time(milliseconds: int | None) -> Html:
    if not milliseconds:
        return Html("")
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return tag("time", moment.strftime("%Y-%m-%d %H:%M:%S"), datetime=moment.isoformat())


def seconds(milliseconds: int | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds} ms" if abs(milliseconds) < 1000 else f"{milliseconds / 1000:.1f} s"


def size(count: int) -> str:
    """A number of bytes for a person."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def table(columns: list[tuple[str, str]], rows: Iterable[Iterable[object]]) -> Html:
    """A table. Columns are (title, class): figure, time, wide (left out on a narrow screen)."""
    body = join(
        tag("tr", *(tag("td", cell, class_=kind or None)
                    for cell, (_, kind) in zip(row, columns, strict=True)))
        for row in rows
    )  # fmt: skip
    if not body:
        return tag("p", "None yet.", class_="none")
    head = tag("tr", *(tag("th", title, class_=kind or None) for title, kind in columns))
    return tag("div", tag("table", tag("thead", head), tag("tbody", body)), class_="scroll")


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in pairs))


def section(name: str, title: str, content: object, note: object = "") -> Html:
    heading = tag("h2", title, tag("small", note) if note else "", id=name)
    return tag("section", heading, content)


def page(title: str, *content: object) -> Html:
    head = join(
        (
            Html("<meta charset='utf-8'><meta name='viewport' content='width=device-width'>"),
            tag("title", title),
            tag("style", Html(STYLE)),
        )
    )
    return Html(
        f"<!doctype html><html lang='en'><head>{head}</head><body>{join(content)}</body></html>"
    )


def respond(content: Html, status: int = 200) -> HTMLResponse:
    return HTMLResponse(content, status, HEADERS)

"""What a client sees of a failure: status, code, request id and one sentence; never a traceback outside of dev.

JSON for clients that ask for JSON, a small HTML page for browsers, else one line of text.
"""

from html import escape
from http import HTTPStatus
from pathlib import Path

import orjson

from atoll.errors import AtollError, BadRequest, ScriptError
from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.message import Response

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {phrase}</title><style>
:root{{color-scheme:light dark}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:10vh auto;padding:0 1rem}}
h1{{font-size:1.4rem}}code,pre{{font:14px/1.45 ui-monospace,monospace}}
pre{{overflow:auto;padding:1rem;border-radius:.5rem;background:#8881;border:1px solid #8883}}
.at{{display:block;background:#e5393533}}footer{{opacity:.7;font-size:.85rem}}
</style></head><body><h1>{status} {phrase}</h1><p>{sentence}</p>{detail}
<footer>{code}Request <code>{request_id}</code></footer></body></html>
"""

_SENTENCES = {
    "exceededCpu": "The worker used more CPU time than it may.",
    "exceededWallTime": "The worker did not answer in time.",
    "exceededMemory": "The worker used more memory than it may.",
    "exception": "The worker failed.",
    "loadShed": "The gateway has more to do than it can take on. Try again shortly.",
    "scriptNotFound": "No worker answers at this address.",
    "internalError": "The gateway failed.",
}


def failure_response(error: AtollError, *, request_id: str, accept: str, dev: bool) -> Response:
    """Make the answer for a failed event; `dev` adds the author's traceback and source lines."""
    status = error.status
    sentence = str(error) if dev or isinstance(error, BadRequest) else _SENTENCES.get(error.outcome, "")
    detail = error.detail if dev else ""
    headers = Headers([("Atoll-Request-Id", request_id)]) if request_id else Headers()
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append("Retry-After", "1")
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    if "text/html" in accept:
        text = _html(error, status, phrase, sentence, detail, request_id, dev)
        kind = "text/html;charset=UTF-8"
    elif "json" in accept:
        facts = {"error": sentence, "status": status, "code": error.code, "request_id": request_id}
        text = orjson.dumps(facts | ({"traceback": detail.splitlines()} if detail else {})).decode()
        kind = "application/json"
    else:
        code = f" (code {error.code})" if error.code else ""
        text = f"{status} {phrase}{code}: {sentence}\n" + (f"\n{detail}\n" if detail else "")
        kind = "text/plain;charset=UTF-8"
    headers.append("Content-Type", kind)
    headers.append("Cache-Control", "no-store")
    return Response(status, headers, Body(text.encode("utf-8", "backslashreplace")))


def _html(error: AtollError, status: int, phrase: str, sentence: str, detail: str, request_id: str, dev: bool) -> str:
    shown = f"<pre>{escape(detail)}</pre>" if detail else ""
    if dev and isinstance(error, ScriptError) and error.line:
        shown = _source_lines(error) + shown
    return _PAGE.format(
        status=status,
        phrase=escape(phrase),
        sentence=escape(sentence),
        detail=shown,
        code=f"Code {error.code}. " if error.code else "",
        request_id=escape(request_id),
    )


def _source_lines(error: ScriptError) -> str:
    """The author's lines around the one that failed."""
    try:
        lines = Path(error.file).read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    first = max(error.line - 4, 0)
    rows = []
    for number, line in enumerate(lines[first : error.line + 3], first + 1):
        row = f"{number:>5}  {escape(line)}"
        rows.append(f'<span class="at">{row}</span>' if number == error.line else row + "\n")
    return f"<p><code>{escape(error.file)}</code></p><pre>{''.join(rows)}</pre>"

"""What cannot become a link is refused in HTTP, in the shape that the library's users can read."""

import json
import socket
from contextlib import closing

import pytest
from conftest import assert_clean
from conversation import library, soon
from processes import Relay, records
from websockets.exceptions import InvalidStatus

STRANGER = "sk-stranger-5d21c9"


async def refusal(peer, model="gpt-realtime", connect=None, **options):
    """The answer that the library gets instead of a connection: its response, and the error object in it."""
    async with library(peer, **options) as client:
        with pytest.raises(InvalidStatus) as refused:
            await soon(client.realtime.connect(model=model, **connect or {}).enter())
    response = refused.value.response
    error = json.loads(response.body)["error"]
    assert response.headers["Content-Type"] == "application/json"
    # An upstream's own error object goes on as it is; the relay's say which request it was.
    own_words = error["code"] != "model_not_found"
    assert response.headers["X-Request-Id"] and (response.headers["X-Request-Id"] in error["message"]) == own_words
    return response, error


async def test_an_unknown_key_is_refused_with_401(relay):
    response, error = await refusal(relay, key=STRANGER)
    assert (response.status_code, error["code"]) == (401, "invalid_api_key")
    assert (error["type"], response.headers["WWW-Authenticate"]) == ("authentication_error", "Bearer")
    log = relay.finish()
    assert not any(STRANGER in line for line in log) and STRANGER not in error["message"]
    (refused,) = records(log, "refused")
    assert (refused["status"], refused["code"]) == (401, "invalid_api_key")


async def test_an_upstream_that_is_not_there_is_a_502(tmp_path):
    # Bound and never listening: nothing else can take the port, and nothing is there.
    with closing(socket.socket()) as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        with Relay(tmp_path, placeholder.getsockname()[1]) as relay:
            response, error = await refusal(relay)
            assert_clean(relay.finish())
    assert (response.status_code, error["code"]) == (502, "upstream_unreachable")
    assert error["type"] == "upstream_error"
    assert "simulated" in error["message"] and "127.0.0.1" not in error["message"]


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        # Opens, and then refuses: the live service does this to a bad key. The client never sees it open.
        ("fault-close-3000", 502, "upstream_refused"),
        ("fault-close-1011", 502, "upstream_refused"),
        ("fault-error-server_error", 502, "upstream_refused"),
        ("fault-error-model_not_found", 404, "model_not_found"),
        ("fault-eof-first", 502, "upstream_refused"),
        ("fault-http-500", 502, "upstream_refused"),
        ("fault-http-401", 502, "upstream_refused"),
        ("fault-http-429", 429, "upstream_rate_limited"),
        ("fault-wrong-accept", 502, "upstream_refused"),
        ("fault-extension", 502, "upstream_refused"),
    ],
)
async def test_an_upstream_that_refuses_is_an_answer_and_never_a_connection(relay, model, status, code):
    response, error = await refusal(relay, model)
    assert (response.status_code, error["code"]) == (status, code)
    assert ("Retry-After" in response.headers) == (status == 429)
    log = relay.finish()
    assert records(log, "link opened") == [] and len(records(log, "refused")) == 1

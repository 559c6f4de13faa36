"""The peers that run in Python 2.7 with the Autobahn test suite: an echo server, the fuzzing server, a client of it.

It refuses to know of the relay: it is told where to listen, and where to connect to. A server prints the port it got.
"""

import json
import socket
import sys

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahntestsuite import fuzzing, testee
from twisted.internet import defer, reactor

LOOPBACK = "127.0.0.1"


def main():
    mode, arguments = sys.argv[1], sys.argv[2:]
    {"echo": echo, "fuzzing-server": fuzzing_server, "client": client}[mode](*arguments)
    reactor.run()


def echo():
    """The suite's own testee: it echoes, and judges every frame as strictly as the suite does."""
    serve(lambda url: testee.TesteeServerFactory(url))


def fuzzing_server(spec):
    serve(lambda url: fuzzing.FuzzingServerFactory(dict(json.loads(spec), url=url)))


def serve(factory_for):
    """Listens before the factory is told the port, so that nobody else can have taken it in between."""
    listener = socket.socket()
    listener.bind((LOOPBACK, 0))
    listener.listen(64)
    listener.setblocking(False)
    port = listener.getsockname()[1]
    reactor.adoptStreamPort(listener.fileno(), socket.AF_INET, factory_for("ws://%s:%d" % (LOOPBACK, port)))
    print("listening on %d" % port)
    sys.stdout.flush()


@defer.inlineCallbacks
def client(server, through, agent, patience):
    """Asks the server itself how many cases there are, and for the reports; runs the cases at `through`."""
    Once.patience = int(patience)
    try:
        answers = yield connection("%s/getCaseCount" % server, Listener)
        for case in range(1, int(answers[0]) + 1):
            yield connection("%scase=%d&agent=%s" % (through, case, agent), testee.TesteeClientProtocol)
        # What is over here may not be over there yet; this is answered once it is.
        yield connection("%s/getCaseStatus?case=%d&agent=%s" % (server, case, agent), Listener)
        yield connection("%s/updateReports?agent=%s" % (server, agent), Listener)
    except Exception as error:
        sys.stderr.write("%s\n" % error)
    reactor.stop()


class Listener(WebSocketClientProtocol):
    """Keeps what it hears."""

    def onMessage(self, payload, is_binary):
        self.factory.heard.append(payload)


def connection(url, protocol):
    """One connection; what was heard over it, once it is over."""
    over = defer.Deferred()
    factory = Once(url, over)
    factory.protocol = protocol
    reactor.connectTCP(LOOPBACK, factory.port, factory)
    return over


class Once(WebSocketClientFactory):
    """A factory for a single connection, with the options of the suite's testee."""

    # `TesteeClientProtocol` asks for these in order to tell what it is doing; it echoes when a case is under way.
    currentCaseId, endCaseId = 1, 0

    def __init__(self, url, over):
        WebSocketClientFactory.__init__(self, url)
        self.setProtocolOptions(failByDrop=False, openHandshakeTimeout=self.patience)
        self.over = over
        self.heard = []

    def clientConnectionLost(self, connector, reason):
        self.over.callback(self.heard)

    def clientConnectionFailed(self, connector, reason):
        self.over.errback(reason)


main()

"""Compares what k6 has seen with what the relay has recorded. Refuses to know how either came about."""

import sqlite3

from .stage import KEYS

# Why links may have ended, other than by their client.
ENDINGS = {"drain": {"relay_restarting"}, "failover": {"upstream_lost"}}


def audit(scenario, summary, stage):
    """Everything that does not agree, in words."""
    usage = stage.usage("key")
    wrong = []
    for key in KEYS:
        wrong += _audit_key(scenario, key, _seen(summary["metrics"], key), usage.get(key))
    wrong += _audit_links(scenario, summary["metrics"], stage)
    print(f"  ledger             {_total(usage, 'links')} links, {_total(usage, 'responses')} responses, "
          f"{_total(usage, 'cost_usd'):.4f} USD")  # fmt: skip
    return wrong


def _seen(metrics, key):
    def count(name):
        return int(metrics.get(f"relay_{name}{{key:{key}}}", {}).get("count", 0))

    names = ("sessions_opened", "responses_begun", "responses_done", "tokens_in", "tokens_out")
    return {name: count(name) for name in names}


def _audit_key(scenario, key, seen, recorded):
    recorded = recorded or {}
    tokens = {"tokens_in": "input_", "tokens_out": "output_"}
    books = {name: sum(v for column, v in recorded.items() if column.startswith(of)) for name, of in tokens.items()}
    books |= {"sessions_opened": recorded.get("links", 0), "responses_done": recorded.get("responses", 0)}
    if scenario == "drain":
        return _audit_cut(key, seen, books)
    return [
        f"{key}: k6 saw {name.replace('_', ' ')} {seen[name]}, the ledger has {books[name]}"
        for name in books
        if seen[name] != books[name]
    ]


def _audit_cut(key, seen, books):
    """Responses under way when their client was cut are settled: recorded, though nobody saw their end."""
    wrong = []
    if books["sessions_opened"] != seen["sessions_opened"]:
        wrong.append(f"{key}: k6 opened {seen['sessions_opened']} sessions, the ledger has {books['sessions_opened']}")
    # One may have begun behind a client's last message, without being seen at all.
    most = seen["responses_begun"] + seen["sessions_opened"]
    if not seen["responses_begun"] <= books["responses_done"] <= most:
        wrong.append(f"{key}: k6 saw {seen['responses_begun']} responses begin, the ledger has {books['responses_done']}")
    for tokens in ("tokens_in", "tokens_out"):
        if books[tokens] < seen[tokens]:
            wrong.append(f"{key}: k6 saw {tokens.replace('_', ' ')} {seen[tokens]}, the ledger has {books[tokens]}")
    return wrong


def _audit_links(scenario, metrics, stage):
    wrong = []
    allowed = {"client_close"} | ENDINGS.get(scenario, set())
    with sqlite3.connect(f"{stage.ledger.as_uri()}?mode=ro", uri=True) as ledger:
        endings = dict(ledger.execute("SELECT ending, count(*) FROM link GROUP BY ending"))
        unsettled = ledger.execute("SELECT count(*) FROM link WHERE unsettled").fetchone()[0]
    print(f"  endings            {', '.join(f'{count} {ending}' for ending, count in sorted(endings.items()))}")
    wrong += [f"{count} links ended with {ending}" for ending, count in endings.items() if ending not in allowed]
    cut = int(metrics.get("relay_sessions_cut", {}).get("count", 0))
    ended = sum(count for ending, count in endings.items() if ending != "client_close")
    # A link may end while its client closes it: k6 then sees its own close.
    if not cut <= ended:
        wrong.append(f"k6 saw {cut} sessions cut, the ledger has {ended}")
    # What an upstream took with it cannot be settled; everything else must have been.
    if unsettled and scenario != "failover":
        wrong.append(f"{unsettled} links are unsettled")
    if scenario == "failover":
        by_upstream = stage.usage("upstream")
        wrong += [f"{name} carried no link" for name in ("primary", "secondary") if not _links(by_upstream, name)]
    return wrong


def _links(groups, name):
    return groups.get(name, {}).get("links", 0)


def _total(groups, column):
    return sum(group[column] for group in groups.values())

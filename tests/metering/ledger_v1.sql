-- A ledger as the first version wrote it: two tables, no index.
CREATE TABLE link (
        link_id TEXT PRIMARY KEY, request_id TEXT, key TEXT, upstream TEXT, model TEXT, opened_ms INTEGER,
        ended_ms INTEGER, ending TEXT, unsettled INTEGER, client_close INTEGER, upstream_close INTEGER,
        frames_up INTEGER, frames_down INTEGER, bytes_up INTEGER, bytes_down INTEGER);
CREATE TABLE usage (
        at_ms INTEGER, link_id TEXT, key TEXT, upstream TEXT, model TEXT, kind TEXT, response_id TEXT, status TEXT,
        input_text INTEGER, input_audio INTEGER, input_image INTEGER,
        cached_text INTEGER, cached_audio INTEGER, cached_image INTEGER,
        output_text INTEGER, output_audio INTEGER, seconds REAL, cost_nano_usd INTEGER,
        UNIQUE (link_id, kind, response_id));
PRAGMA user_version = 1;
INSERT INTO link VALUES ('0b0c7a3e-9c1d-4c55-8b1a-111111111111', 'req_1', 'acme', 'openai', 'gpt-realtime',
        1795299999000, 1795300001000, 'client_close', 0, 1000, NULL, 10, 20, 3000, 40000);
INSERT INTO usage VALUES (1795300000123, '0b0c7a3e-9c1d-4c55-8b1a-111111111111', 'acme', 'openai', 'gpt-realtime',
        'response', 'resp_A1', 'completed', 140, 120, 0, 128, 64, 0, 40, 112, NULL, 9724800);
INSERT INTO usage VALUES (1795300000456, '0b0c7a3e-9c1d-4c55-8b1a-111111111111', 'acme', 'openai', 'unpriced',
        'response', 'resp_B1', 'completed', 110, 10, 0, 110, 10, 0, 30, 150, NULL, NULL);

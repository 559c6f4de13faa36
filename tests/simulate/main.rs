//! The simulated upstream over real sockets: what it says, and how it misbehaves when it is asked to.

mod client;
mod faults;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::{Client, Seen, ask, head, refused, simulated, unhurried_upstream, upstream};
use fastwebsockets::{Frame, OpCode};
use realtime_relay::simulate::Options;
use serde_json::{Value, json};

const MODEL: &str = "gpt-realtime";

fn last<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().rfind(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn count(usage: &Value, pointer: &str) -> u64 {
    usage.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {usage}"))
}

#[tokio::test]
async fn speaks_first_with_session_created() {
    let upstream = upstream(None).await;
    for target in ["/v1/realtime?model=m", "/openai/v1/realtime?model=m", "/openai/realtime?deployment=m"] {
        let created = Client::open_at(upstream, target).await.event().await;
        assert_eq!(created["type"], "session.created");
        assert_eq!(created["session"]["model"], "m");
        assert_eq!(created["session"]["audio"]["output"]["format"]["rate"], 24_000);
    }
}

#[tokio::test]
async fn answers_a_response_create_with_usage_that_adds_up() {
    let mut client = Client::open(upstream(None).await, MODEL).await;
    for round in 0..2 {
        client.ask("What time is it?").await;
        let events = client.until("rate_limits.updated").await;
        let response = &last(&events, "response.done")["response"];
        assert_eq!(response["status"], "completed");
        let usage = &response["usage"];
        let (input, output) = (count(usage, "/input_tokens"), count(usage, "/output_tokens"));
        assert_eq!(count(usage, "/total_tokens"), input + output);
        let sum = |at: &str| count(usage, &format!("{at}/text_tokens")) + count(usage, &format!("{at}/audio_tokens"));
        assert_eq!(input, sum("/input_token_details") + count(usage, "/input_token_details/image_tokens"));
        assert_eq!(output, sum("/output_token_details"));
        assert_eq!(count(usage, "/input_token_details/cached_tokens") > 0, round > 0);
    }
}

#[tokio::test]
async fn sends_the_audio_and_the_words_that_it_says_it_has_sent() {
    let mut client = Client::open(upstream(None).await, MODEL).await;
    client.ask("Hello").await;
    let events = client.until("response.done").await;
    let joined = |kind: &str| {
        let deltas = events.iter().filter(|event| event["type"] == kind);
        deltas.filter_map(|event| event["delta"].as_str()).map(str::to_owned).collect::<Vec<String>>()
    };
    let words = joined("response.output_audio_transcript.delta").concat();
    assert_eq!(words, "You said: Hello");
    assert_eq!(last(&events, "response.output_audio_transcript.done")["transcript"], words);
    let audio = joined("response.output_audio.delta");
    let bytes: usize = audio.iter().map(|delta| STANDARD.decode(delta).expect("base64").len()).sum();
    let tokens = count(&last(&events, "response.done")["response"]["usage"], "/output_token_details/audio_tokens");
    assert_eq!((bytes / 48).div_ceil(50) as u64, tokens);
}

#[tokio::test]
async fn a_text_session_is_answered_in_text() {
    let mut client = Client::open(upstream(None).await, MODEL).await;
    client.send(&json!({ "type": "session.update", "session": { "output_modalities": ["text"] } })).await;
    let events = client.until("session.updated").await;
    assert_eq!(last(&events, "session.updated")["session"]["output_modalities"], json!(["text"]));
    client.ask("Hello").await;
    let events = client.until("response.done").await;
    assert_eq!(last(&events, "response.output_text.done")["text"], "You said: Hello");
    assert!(events.iter().all(|event| event["type"] != "response.output_audio.delta"));
}

#[tokio::test]
async fn cancel_ends_the_response_as_cancelled() {
    let mut client = Client::open(unhurried_upstream().await, MODEL).await;
    client.ask(&"never ending question ".repeat(20)).await;
    let created = client.until("response.created").await;
    let id = &last(&created, "response.created")["response"]["id"];
    client.send(&json!({ "type": "response.cancel", "response_id": id })).await;
    let events = client.until("response.done").await;
    let response = &last(&events, "response.done")["response"];
    assert_eq!(response["status_details"], json!({ "type": "cancelled", "reason": "client_cancelled" }));
    assert!(count(&response["usage"], "/total_tokens") > 0);
    client.send(&json!({ "type": "response.cancel", "event_id": "again" })).await;
    let error = client.until("error").await;
    assert_eq!(last(&error, "error")["error"]["code"], "response_cancel_not_active");
    assert_eq!(last(&error, "error")["error"]["event_id"], "again");
}

#[tokio::test]
async fn refuses_a_second_response_while_one_is_under_way() {
    let mut client = Client::open(unhurried_upstream().await, MODEL).await;
    client.ask(&"a question that is long ".repeat(20)).await;
    client.until("response.created").await;
    client.send(&json!({ "type": "response.create" })).await;
    let events = client.until("error").await;
    assert_eq!(last(&events, "error")["error"]["code"], "conversation_already_has_active_response");
}

#[tokio::test]
async fn calls_a_function_and_then_says_what_it_answered() {
    let mut client = Client::open(upstream(None).await, MODEL).await;
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tool = json!({ "type": "function", "name": "get_weather", "parameters": parameters });
    client.send(&json!({ "type": "session.update", "session": { "tools": [tool] } })).await;
    client.ask("get_weather please").await;
    let events = client.until("response.done").await;
    let done = last(&events, "response.function_call_arguments.done");
    assert_eq!(done["arguments"], r#"{"city":"Paris"}"#);
    let call = &last(&events, "response.done")["response"]["output"][0];
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("get_weather")));
    let output = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "21 degrees" });
    client.send(&json!({ "type": "conversation.item.create", "item": output })).await;
    client.send(&json!({ "type": "response.create" })).await;
    let events = client.until("response.done").await;
    let said = &last(&events, "response.output_audio_transcript.done")["transcript"];
    assert_eq!(said, "The function answered: 21 degrees");
}

#[tokio::test]
async fn a_transcription_session_transcribes_and_does_not_answer() {
    let mut client = Client::open_at(upstream(None).await, "/v1/realtime?intent=transcription").await;
    assert_eq!(client.event().await["session"]["type"], "transcription");
    let audio = |level: i16, samples: usize| STANDARD.encode(level.to_le_bytes().repeat(samples));
    client.send(&json!({ "type": "input_audio_buffer.append", "audio": audio(5_000, 7_200) })).await;
    client.send(&json!({ "type": "input_audio_buffer.append", "audio": audio(0, 7_200) })).await;
    let events = client.until("conversation.item.input_audio_transcription.completed").await;
    assert_eq!(events[0]["type"], "input_audio_buffer.speech_started");
    assert_eq!(count(&events[events.len() - 1]["usage"], "/input_token_details/audio_tokens"), 3);
    client.send(&json!({ "type": "response.create" })).await;
    assert_eq!(client.event().await["type"], "error");
}

#[tokio::test]
async fn an_unknown_event_is_an_error_and_the_session_goes_on() {
    let mut client = Client::open(upstream(None).await, MODEL).await;
    client.send(&json!({ "type": "nonsense", "event_id": "mine" })).await;
    let events = client.until("error").await;
    assert_eq!(last(&events, "error")["error"]["event_id"], "mine");
    client.send(&json!({ "type": "input_audio_buffer.clear" })).await;
    client.until("input_audio_buffer.cleared").await;
}

#[tokio::test]
async fn takes_binary_and_fragmented_events_and_answers_pings_in_between() {
    let mut client = Client::open(upstream(None).await, MODEL).await;
    client.event().await;
    let clear = json!({ "type": "input_audio_buffer.clear" }).to_string().into_bytes();
    client.send_frame(Frame::binary(clear.clone().into())).await;
    assert_eq!(client.event().await["type"], "input_audio_buffer.cleared");
    let (first, second) = clear.split_at(9);
    client.send_frame(Frame::new(false, OpCode::Text, None, first.into())).await;
    client.send_frame(Frame::new(true, OpCode::Ping, None, (&b"are you there"[..]).into())).await;
    assert_eq!(client.next().await, Seen::Ping);
    client.send_frame(Frame::new(true, OpCode::Continuation, None, second.into())).await;
    assert_eq!(client.event().await["type"], "input_audio_buffer.cleared");
}

#[tokio::test]
async fn answers_a_close_with_the_same_code_and_then_ends() {
    let mut client = Client::open(upstream(None).await, MODEL).await;
    client.event().await;
    client.send_frame(Frame::close(4_321, b"enough")).await;
    assert_eq!(client.next().await, Seen::Closed(Some(4_321), String::new()));
    assert_eq!(client.next().await, Seen::Eof);
}

#[tokio::test]
async fn selects_realtime_only_where_it_was_offered() {
    let upstream = upstream(None).await;
    let mut stream = ask(upstream, "/v1/realtime?model=m", "Sec-WebSocket-Protocol: other, realtime\r\n").await;
    assert!(head(&mut stream).await.contains("Sec-WebSocket-Protocol: realtime\r\n"));
    let mut stream = ask(upstream, "/v1/realtime?model=m", "Sec-WebSocket-Protocol: other\r\n").await;
    assert!(!head(&mut stream).await.contains("Sec-WebSocket-Protocol"));
}

#[tokio::test]
async fn a_good_key_is_served_and_a_wrong_one_is_closed_with_3000() {
    let upstream = upstream(Some("good")).await;
    for header in ["Authorization: Bearer good\r\n", "api-key: good\r\n"] {
        let mut stream = ask(upstream, "/v1/realtime?model=m", header).await;
        head(&mut stream).await;
        assert_eq!(Client::on(stream).event().await["type"], "session.created");
    }
    let closed = Client::open(upstream, MODEL).await.next().await;
    assert_eq!(closed, Seen::Closed(Some(3_000), "invalid_request_error.invalid_api_key".to_owned()));
}

#[tokio::test]
async fn what_is_no_session_is_refused_in_http() {
    let upstream = upstream(None).await;
    let (head, body) = refused(upstream, "/v1/elsewhere").await;
    assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("x-request-id: req_sim_"), "{head}");
    assert_eq!(body["error"]["code"], "not_found");
    let (_, body) = refused(upstream, "/v1/realtime").await;
    assert_eq!(body["error"]["code"], "missing_model");
}

#[tokio::test]
async fn ends_every_connection_when_it_is_dropped() {
    let (upstream, serving) = simulated(Options::default()).await;
    let mut client = Client::open(upstream, MODEL).await;
    client.event().await;
    serving.abort();
    assert_eq!(client.next().await, Seen::Eof);
}

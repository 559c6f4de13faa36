//! The settings of a session, as `session.created` and `session.updated` tell them.
//!
//! It refuses to know what follows from them.

use serde::Deserialize;

/// What a session event says of the session; `None` where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSettings {
    /// The model that answers.
    pub model: Option<String>,
    /// What the client sends: `pcm16`, `g711_ulaw`, `g711_alaw`, or the upstream's own word.
    pub input: Option<String>,
    /// What the upstream sends.
    pub output: Option<String>,
    /// The model that transcribes what the client says.
    pub transcription: Option<String>,
}

/// What the text of a session event says; `None` where it is no such JSON.
pub(super) fn read(text: &[u8]) -> Option<SessionSettings> {
    let event: SessionEvent = serde_json::from_slice(text).ok()?;
    event.session.map(settings)
}

#[derive(Deserialize)]
struct SessionEvent {
    session: Option<RawSession>,
}

/// Both shapes: the current one nests the formats in `audio`, the older one names them flat.
#[derive(Deserialize)]
struct RawSession {
    model: Option<String>,
    audio: Option<RawAudio>,
    input_audio_format: Option<String>,
    output_audio_format: Option<String>,
    input_audio_transcription: Option<RawTranscription>,
}

#[derive(Deserialize)]
struct RawTranscription {
    model: Option<String>,
}

#[derive(Deserialize)]
struct RawAudio {
    input: Option<RawAudioSide>,
    output: Option<RawAudioSide>,
}

#[derive(Deserialize)]
struct RawAudioSide {
    format: Option<RawFormat>,
    transcription: Option<RawTranscription>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawFormat {
    Object { r#type: String },
    Name(String),
}

fn settings(session: RawSession) -> SessionSettings {
    let (input, output) = session.audio.map_or((None, None), |audio| (audio.input, audio.output));
    let (input, transcription) = input.map_or((None, None), |input| (input.format, input.transcription));
    let transcription = transcription.or(session.input_audio_transcription);
    SessionSettings {
        model: session.model,
        input: input.map(format_name).or(session.input_audio_format),
        output: output.and_then(|output| output.format).map(format_name).or(session.output_audio_format),
        transcription: transcription.and_then(|transcription| transcription.model),
    }
}

fn format_name(format: RawFormat) -> String {
    let (RawFormat::Object { r#type: name } | RawFormat::Name(name)) = format;
    match name.as_str() {
        "audio/pcm" => "pcm16".to_owned(),
        "audio/pcmu" => "g711_ulaw".to_owned(),
        "audio/pcma" => "g711_alaw".to_owned(),
        _ => name,
    }
}

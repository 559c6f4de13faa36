//! What the service answers: an echo of what was said, or a call of the function that was asked for.
//!
//! It refuses to know how an answer is sent.

use super::items::LastWord;
use super::session::Session;
use serde_json::{Map, Value};

/// An echo is cut here: a long question must not make an endless answer.
const MOST_WORDS: usize = 40;

const GREETING: &str = "Hello! How can I help you today?";

/// What a simulated transcription hears.
pub(super) const PHRASES: [&str; 6] = [
    "What is the weather like today?",
    "Tell me a short story about a lighthouse.",
    "How far is it to the next station?",
    "Could you say that again, please?",
    "I would like to book a table for two.",
    "Good morning, how are you?",
];

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Say(String),
    Call { name: String, arguments: String },
}

impl Answer {
    /// A function answers first; then one that is asked for by name, or required, is called; else it is an echo.
    pub(super) fn to(last: &LastWord<'_>, session: &Session) -> Self {
        let said = match last {
            LastWord::FunctionAnswered(output) => return Self::Say(shorten("The function answered:", output)),
            LastWord::Said(text) => text.as_str(),
            LastWord::Nothing => "",
        };
        if let Some(tool) = wanted(said, session) {
            return Self::Call { name: name_of(tool).to_owned(), arguments: arguments_for(tool) };
        }
        if said.is_empty() { Self::Say(GREETING.to_owned()) } else { Self::Say(shorten("You said:", said)) }
    }
}

fn wanted<'a>(said: &str, session: &'a Session) -> Option<&'a Value> {
    let tools = session.tools();
    let choice = session.field("/tool_choice");
    if let Some(name) = choice.get("name").and_then(Value::as_str) {
        return tools.iter().find(|tool| name_of(tool) == name);
    }
    match choice.as_str() {
        Some("none") => None,
        Some("required") => mentioned(said, tools).or(tools.first()),
        _ => mentioned(said, tools),
    }
}

fn mentioned<'a>(said: &str, tools: &'a [Value]) -> Option<&'a Value> {
    let said = said.to_lowercase();
    tools.iter().find(|tool| {
        let name = name_of(tool).to_lowercase();
        !name.is_empty() && (said.contains(&name) || said.contains(&name.replace('_', " ")))
    })
}

fn name_of(tool: &Value) -> &str {
    tool.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// A value for each of the properties that the tool declares.
fn arguments_for(tool: &Value) -> String {
    let properties = tool.pointer("/parameters/properties").and_then(Value::as_object);
    let example = |schema: &Value| match schema.get("type").and_then(Value::as_str) {
        _ if schema.pointer("/enum/0").is_some() => schema.pointer("/enum/0").cloned().unwrap_or_default(),
        Some("number" | "integer") => 1.into(),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => Value::Object(Map::new()),
        _ => "Paris".into(),
    };
    let arguments = properties.into_iter().flatten().map(|(name, schema)| (name.clone(), example(schema)));
    Value::Object(arguments.collect()).to_string()
}

fn shorten(opening: &str, text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let cut = words.len() > MOST_WORDS;
    words.truncate(MOST_WORDS);
    format!("{opening} {}{}", words.join(" "), if cut { " …" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::{Answer, LastWord, Session};
    use serde_json::json;

    fn session(choice: &str) -> Session {
        let parameters = json!({ "properties": { "city": { "type": "string" }, "days": { "type": "integer" } } });
        let tool = json!({ "type": "function", "name": "get_weather", "parameters": parameters });
        let mut session = Session::realtime("sess_1", "gpt-realtime");
        session.update(&json!({ "tools": [tool], "tool_choice": choice }));
        session
    }

    fn call() -> Answer {
        Answer::Call { name: "get_weather".to_owned(), arguments: r#"{"city":"Paris","days":1}"#.to_owned() }
    }

    #[test]
    fn a_function_is_called_when_it_is_asked_for_or_required() {
        let asked = LastWord::Said("Please get weather for Paris".to_owned());
        let hello = LastWord::Said("Hello".to_owned());
        assert_eq!(Answer::to(&asked, &session("auto")), call());
        assert_eq!(Answer::to(&hello, &session("required")), call());
        assert_eq!(Answer::to(&hello, &session("auto")), Answer::Say("You said: Hello".to_owned()));
        assert!(matches!(Answer::to(&asked, &session("none")), Answer::Say(_)));
    }

    #[test]
    fn what_a_function_answered_is_said() {
        let answered = LastWord::FunctionAnswered("21 degrees");
        let answer = Answer::to(&answered, &session("required"));
        assert_eq!(answer, Answer::Say("The function answered: 21 degrees".to_owned()));
    }

    #[test]
    fn a_long_question_makes_a_short_answer() {
        let long = LastWord::Said("word ".repeat(1_000));
        let Answer::Say(text) = Answer::to(&long, &session("auto")) else { panic!("it says something") };
        assert!(text.len() < 300, "{text}");
    }
}
